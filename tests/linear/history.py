"""What threads did to a few keys, what they were told, and between which moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from spellkeep.errors import Conflict


@dataclass(frozen=True, slots=True)
class Event:
    """One call, or one key's part of a batch.

    Attributes:
        kind: a read has the version that it saw, a set or delete the one that it made, a refusal the one it met;
            0 is no value (and, of a delete, nothing to delete).
        expected: ``if_version``; None for any.
        batch: of which batch it is a part; the parts stand in the order in which they were added.
    """

    thread: int
    kind: Literal["read", "set", "delete", "refused"]
    key: str
    begun_ns: int
    ended_ns: int
    version: int
    expected: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """As it came back, before values are turned into the versions that wrote them.

    Attributes:
        writes: key, mark of the value or None for a delete, ``if_version``.
        answer: the mark that a get saw or None, versions of the writes, or the conflict.
    """

    thread: int
    kind: Literal["get", "entry", "write"]
    writes: tuple[tuple[str, str | None, int | None], ...]
    begun_ns: int
    ended_ns: int
    answer: Any


def events_of(calls: list[Call]) -> list[Event]:
    """The events of a history. Raises: KeyError for a value that nobody wrote."""
    versions: dict[str | None, int] = {None: 0}
    for call in calls:
        if call.kind == "write" and not isinstance(call.answer, Conflict):
            versions |= {mark: v for (_, mark, _), v in zip(call.writes, call.answer, strict=True) if mark is not None}
    events: list[Event] = []
    for number, call in enumerate(calls):
        times = (call.begun_ns, call.ended_ns)
        batch = number if len(call.writes) > 1 else None
        if call.kind == "get":
            events.append(Event(call.thread, "read", call.writes[0][0], *times, versions[call.answer]))
        elif call.kind == "entry":
            events.append(Event(call.thread, "read", call.writes[0][0], *times, call.answer))
        elif isinstance(call.answer, Conflict):
            events += _refusal(call, versions)
        else:
            for (key, mark, expected), version in zip(call.writes, call.answer, strict=True):
                kind: Literal["set", "delete"] = "delete" if mark is None else "set"
                events.append(Event(call.thread, kind, key, *times, version, expected, batch))
    return events


def _refusal(call: Call, versions: dict[str | None, int]) -> list[Event]:
    conflict, times = call.answer, (call.begun_ns, call.ended_ns)
    keys = [key for key, _, expected in call.writes if expected == conflict.expected_version]
    if len(keys) != 1:
        # A batch that wanted several keys absent does not say which one was there.
        return []
    # The value may be newer than the version, so it is a read of its own.
    return [
        Event(call.thread, "refused", keys[0], *times, conflict.current_version, conflict.expected_version),
        Event(call.thread, "read", keys[0], *times, versions[conflict.current and conflict.current["mark"]]),
    ]
