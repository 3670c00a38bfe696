"""The checkers themselves: each anomaly is planted, and must be reported; what only overlaps must not be."""

from __future__ import annotations

from typing import Any

import pytest

from linear.history import Call, Event, events_of
from linear.keys import linearizable, wrong_keys
from linear.whole import complaints
from spellkeep.errors import Conflict


def _event(kind: Any, version: int, begun: int, ended: int, key: str = "a", **more: Any) -> Event:
    return Event(more.pop("thread", 0), kind, key, begun, ended, version, **more)


FINE = {
    "a read sees the write before it": [_event("set", 1, 0, 1), _event("read", 1, 2, 3)],
    "a read during a write sees it or not": [_event("set", 1, 0, 9), _event("read", 0, 1, 2), _event("read", 1, 3, 4)],
    "overlapping writes take either order": [
        _event("set", 1, 0, 9),
        _event("set", 2, 0, 9),
        _event("read", 2, 10, 11),
    ],
    "one of two compare-and-sets is refused": [
        _event("set", 1, 0, 1),
        _event("set", 2, 2, 9, expected=1),
        _event("refused", 2, 2, 9, expected=1),
    ],
    "a delete during a delete finds nothing": [
        _event("set", 1, 0, 1),
        _event("delete", 2, 2, 9),
        _event("delete", 0, 2, 9),
        _event("read", 0, 10, 11),
    ],
}
WRONG = {
    "a stale read": [_event("set", 1, 0, 1), _event("set", 2, 2, 3), _event("read", 1, 4, 5)],
    "a read of what is not written yet": [_event("read", 1, 0, 1), _event("set", 1, 2, 3)],
    "reads that go back": [_event("set", 1, 0, 9), _event("read", 1, 1, 2), _event("read", 0, 3, 4)],
    "readers that disagree on the order of two writes": [
        _event("set", 1, 0, 1),
        _event("set", 2, 0, 1),
        *(_event("read", v, at, at + 1, thread=1) for v, at in ((1, 2), (2, 4), (1, 6))),
    ],
    "a lost update": [
        _event("set", 1, 0, 1),
        _event("set", 2, 2, 3),
        _event("set", 3, 4, 5, expected=1),
    ],
    "a compare-and-set that succeeds twice": [
        _event("set", 1, 0, 1),
        _event("set", 2, 2, 9, expected=1),
        _event("set", 3, 2, 9, expected=1),
    ],
    "a refusal of what was there all the time": [_event("set", 1, 0, 1), _event("refused", 1, 2, 3, expected=1)],
    "a refusal that met what was gone": [
        _event("set", 1, 0, 1),
        _event("set", 2, 2, 3),
        _event("refused", 1, 4, 5, expected=9),
    ],
    "a deleted value that comes back": [_event("set", 1, 0, 1), _event("delete", 2, 2, 3), _event("read", 1, 4, 5)],
    "a delete that finds nothing where there was something": [_event("set", 1, 0, 1), _event("delete", 0, 2, 3)],
    "a delete of the same value twice": [
        _event("set", 1, 0, 1),
        _event("delete", 2, 2, 9),
        _event("delete", 3, 2, 9),
    ],
}


@pytest.mark.parametrize("events", FINE.values(), ids=FINE)
def test_a_history_that_is_fine_is_explained(events: list[Event]) -> None:
    assert wrong_keys(events) == []
    assert complaints(events) == []


@pytest.mark.parametrize("events", WRONG.values(), ids=WRONG)
def test_a_planted_anomaly_of_one_key_is_reported(events: list[Event]) -> None:
    assert wrong_keys(events) == ["a: no order explains its events"]
    # Another key explains nothing.
    assert len(wrong_keys([*events, _event("set", 50, 0, 100, key="b")])) == 1


def test_the_search_goes_back_from_an_order_that_leads_nowhere() -> None:
    writes = [_event("set", version, 0, 100) for version in range(1, 9)]
    reads = [_event("read", version, at, at + 1) for at, version in enumerate((3, 8, 1, 5, 2, 7, 4, 6), start=200)]
    assert not linearizable([*writes, *reads])
    spread = [_event("read", version, at, at + 1) for at, version in enumerate((3, 8, 1, 5, 2, 7, 4, 6), start=1)]
    assert linearizable([*writes, *spread])
    assert not linearizable([*writes, *spread, _event("read", 3, 50, 51)])


def test_many_calls_at_once_are_explained_in_time() -> None:
    """Without the memory of what was tried, 800 events in eights take forever."""
    events = [_event("set", n + 1, n // 8 * 10, n // 8 * 10 + 9) for n in range(800)]
    assert linearizable(events)
    assert not linearizable([*events, _event("read", 1, 100_000, 100_001)])


def _batch(*versions: int, begun: int = 0, ended: int = 9) -> list[Event]:
    return [_event("set", v, begun, ended, key, batch=7) for key, v in zip("abc", versions, strict=False)]


ACROSS = {
    "a batch that is half visible to a reader of its second part": [
        *_batch(1, 2),
        _event("read", 2, 1, 2, key="b", thread=1),
        _event("read", 0, 3, 4, key="a", thread=1),
    ],
    "a batch that is half visible to two readers, one after the other": [
        *_batch(1, 2, 3),
        _event("read", 3, 1, 2, key="c", thread=1),
        _event("read", 0, 3, 4, key="b", thread=2),
    ],
    "a batch with another write in it": [*_batch(1, 3), _event("set", 2, 0, 9, key="c")],
    "a batch whose parts stand in no order": [
        _event("set", 2, 0, 9, key="a", batch=7),
        _event("set", 4, 0, 9, key="b", batch=7),
    ],
    "a version that two writes were given": [_event("set", 1, 0, 9), _event("set", 1, 0, 9, key="b")],
    "versions against time": [_event("set", 2, 0, 1), _event("set", 1, 2, 3, key="b")],
    "a read that is older than what its thread saw in another key": [
        _event("set", 1, 0, 20, key="a"),
        _event("set", 2, 0, 20, key="b"),
        _event("read", 2, 1, 2, key="b", thread=1),
        _event("read", 0, 3, 4, key="a", thread=1),
    ],
}


@pytest.mark.parametrize("events", ACROSS.values(), ids=ACROSS)
def test_a_planted_anomaly_across_keys_is_reported(events: list[Event]) -> None:
    assert complaints(events)


def test_a_batch_may_be_seen_in_parts_in_its_order_and_in_one_piece_at_its_end() -> None:
    seen = [_event("read", 1, 1, 2, key="a", thread=1), _event("read", 0, 3, 4, key="b", thread=1)]
    assert complaints([*_batch(1, 2), *seen]) == []
    late = [_event("read", 0, 10, 11, key="b", thread=1)]
    assert wrong_keys([*_batch(1, 2), *late])
    assert complaints([*_batch(1, 2), *late])


def _call(kind: Any, writes: Any, answer: Any, begun: int = 0) -> Call:
    return Call(0, kind, tuple(writes), begun, begun + 1, answer)


def test_calls_become_events_and_a_value_that_nobody_wrote_is_an_error() -> None:
    conflict = Conflict("no")
    conflict.expected_version, conflict.current_version, conflict.current = 4, 2, {"mark": "m2"}
    calls = [
        _call("write", [("a", "m1", None)], [1]),
        _call("write", [("a", "m2", None), ("b", None, 0)], [2, 0], 2),
        _call("get", [("a", None, None)], "m2", 4),
        _call("entry", [("b", None, None)], 0, 6),
        _call("write", [("a", "m3", 4)], conflict, 8),
    ]
    assert events_of(calls) == [
        _event("set", 1, 0, 1),
        _event("set", 2, 2, 3, batch=1),
        _event("delete", 0, 2, 3, key="b", expected=0, batch=1),
        _event("read", 2, 4, 5),
        _event("read", 0, 6, 7, key="b"),
        _event("refused", 2, 8, 9, expected=4),
        _event("read", 2, 8, 9),
    ]
    with pytest.raises(KeyError, match="made up"):
        events_of([_call("get", [("a", None, None)], "made up")])
