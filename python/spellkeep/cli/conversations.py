"""Conversations in a file: one JSON object a line, with ``conversation_id``, ``messages`` and whatever else.

Nothing is repaired on the way: a line that is not exactly that is a ``BadLine`` with its number and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from spellkeep import StateScope
from spellkeep.errors import InvalidKey

__all__ = ["LINE_BYTES_MAX", "MESSAGES_MAX", "BadLine", "Conversation", "message_key", "read_lines"]

LINE_BYTES_MAX = 64 << 20
# Six digits number the keys, and they must sort as the messages do.
MESSAGES_MAX = 1_000_000

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Conversation:
    """One good line.

    Attributes:
        metadata: every member of the line besides ``conversation_id`` and ``messages``.
    """

    line: int
    end_bytes: int
    conversation_id: str
    messages: list[dict[str, Any]]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be taken. ``code`` is a slug, ``ingest.*``."""

    line: int
    end_bytes: int
    code: str
    detail: str


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def message_key(index: int) -> str:
    """The key of a conversation's message: ``message/000012``."""
    return f"message/{index:06}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _decoded(raw: bytes) -> Any:
    if raw.startswith(_BYTE_ORDER_MARK):
        raise _Refused("ingest.byte_order_mark", "begins with a byte order mark")
    if not raw.strip():
        raise _Refused("ingest.blank_line", "is blank")
    if b"\0" in raw:
        raise _Refused("ingest.nul_byte", f"has a NUL byte at byte {raw.index(0)}")
    try:
        return json.loads(raw.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _Refused("ingest.not_utf8", f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _Refused("ingest.bad_json", f"is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise _Refused("ingest.bad_json", "is nested too deeply") from None
    except ValueError as error:
        raise _Refused("ingest.bad_json", f"is not JSON: {error}") from None


def _conversation(raw: bytes, line: int, end_bytes: int, seen: set[str]) -> Conversation:
    document = _decoded(raw)
    if not isinstance(document, dict):
        raise _Refused("ingest.not_an_object", "is not a JSON object")
    if "conversation_id" not in document:
        raise _Refused("ingest.missing_id", "has no conversation_id")
    conversation_id = document.pop("conversation_id")
    if not isinstance(conversation_id, str):
        raise _Refused("ingest.bad_id", "has a conversation_id that is not a string")
    try:
        StateScope.session(conversation_id)
    except InvalidKey as error:
        raise _Refused("ingest.bad_id", f"has a conversation_id that is no scope id: {error.detail}") from None
    if conversation_id in seen:
        raise _Refused("ingest.duplicate_id", f"has the conversation_id {conversation_id!r} of an earlier line")
    messages = document.pop("messages", None)
    if not isinstance(messages, list):
        raise _Refused("ingest.messages_not_a_list", "has no list of messages")
    if len(messages) > MESSAGES_MAX:
        raise _Refused("ingest.too_many_messages", f"has {len(messages)} messages, over {MESSAGES_MAX}")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _Refused("ingest.message_not_an_object", f"has a message {index} that is not an object")
    seen.add(conversation_id)
    return Conversation(line, end_bytes, conversation_id, messages, document)


def _raw_lines(file: IO[bytes], line_bytes_max: int) -> Iterator[tuple[bytes | None, int]]:
    """Each line with the offset of its end; None for one that is too long, which is never held in memory."""
    end = 0
    while raw := file.readline(line_bytes_max + 1):
        end += len(raw)
        if len(raw) <= line_bytes_max or raw.endswith(b"\n"):
            yield raw, end
            continue
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(1 << 20)
            end += len(raw)
        yield None, end


def read_lines(file: IO[bytes], line_bytes_max: int = LINE_BYTES_MAX) -> Iterator[Conversation | BadLine]:
    """Read the file line by line, in memory of one line. Ids are unique within what it gives."""
    seen: set[str] = set()
    for number, (raw, end) in enumerate(_raw_lines(file, line_bytes_max), start=1):
        if raw is None:
            yield BadLine(number, end, "ingest.line_too_long", f"is longer than {line_bytes_max} bytes")
            continue
        try:
            yield _conversation(raw, number, end, seen)
        except _Refused as refused:
            yield BadLine(number, end, refused.code, refused.detail)
