"""What the two processes of a replay say to each other: documents with a length in front."""

from __future__ import annotations

import struct
from typing import IO, Any

from spellkeep.changes import Change
from spellkeep.value import Limits, decode, encode

_LENGTH = struct.Struct("<Q")


def send(stream: IO[bytes], document: dict[str, Any], limits: Limits) -> None:
    """Write one document."""
    encoded = encode(document, limits=limits)
    stream.write(_LENGTH.pack(len(encoded)) + encoded)
    stream.flush()


def receive(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one document; None: nobody is there any more."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    encoded = stream.read(length)
    if len(encoded) < length:
        return None
    document: dict[str, Any] = decode(encoded)
    return document


def parts_of(change: Change | None) -> tuple[Any, ...] | None:
    """A change as values that can be kept."""
    parts: tuple[Any, ...] | None = None if change is None else change.__reduce__()[1][0]
    return parts


def change_of(parts: tuple[Any, ...] | None) -> Change | None:
    """What `parts_of` gave."""
    return None if parts is None else Change._restore(parts)
