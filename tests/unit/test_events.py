"""Events: records that say that something happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sk.StateManager]:
    with sk.open(tmp_path / "s") as state:
        yield state


def test_an_event_is_a_change_of_nothing(state: sk.StateManager) -> None:
    state.set(SCOUT, "plan", 1)
    version = state.events.emit("plan", {"steps": [1, 2]}, scope=SCOUT)
    assert version == state.last_version == 2
    event = list(state.changes())[-1]
    assert (event.version, event.operation, event.scope, event.key) == (2, "event", SCOUT, "plan")
    assert (event.value, event.expires_at, event.in_batch) == ({"steps": [1, 2]}, None, False)
    assert repr(event) == f"<Change 2: event agent:scout 'plan' at {event.at.isoformat()}>"
    assert state.get(SCOUT, "plan") == 1
    assert [change.operation for change in state.history(SCOUT, "plan")] == ["set"]
    assert state.entry(SCOUT, "plan").version == 1


def test_an_event_of_a_scope_with_nothing_in_it_does_not_make_it(state: sk.StateManager) -> None:
    state.events.emit("made")
    (event,) = state.changes()
    assert (event.scope, event.value) == (StateScope.GLOBAL, None)
    assert state.list_scopes() == []
    assert (state.stats().key_count, state.stats().scope_count) == (0, 0)
    assert state.history(StateScope.GLOBAL, "made") == []


def test_what_is_written_in_a_span_is_caused_by_it(state: sk.StateManager) -> None:
    with state.events.span("tool.called", {"tool": "search"}, scope=SCOUT) as outer:
        state.set(SCOUT, "a", 1)
        with state.events.span("tool.answered") as inner:
            state.set(SCOUT, "a", 2)
        state.set(SCOUT, "a", 3)
        state.events.emit("noted", cause=1_000_000)
    state.set(SCOUT, "a", 4)
    assert [change.cause for change in state.changes()] == [None, outer, outer, inner, outer, 1_000_000, None]
    assert {change.correlation for change in state.changes()} == {None}
    assert sk.current_correlation() is None


def test_a_span_is_part_of_what_it_is_in(state: sk.StateManager) -> None:
    with sk.correlate("req-42", actor="anna", tags=["a"], cause=5), state.events.span("called") as version:
        state.set(SCOUT, "a", 1)
        with sk.correlate("inner"):
            state.set(SCOUT, "a", 2)
    event, one, two = state.changes()
    assert (event.correlation, event.actor, event.tags, event.cause) == ("req-42", "anna", ("a",), 5)
    assert (one.correlation, one.actor, one.tags, one.cause) == ("req-42", "anna", ("a",), version)
    assert (two.correlation, two.cause) == ("inner", version)


def test_a_span_that_raises_ends_all_the_same(state: sk.StateManager) -> None:
    with pytest.raises(ZeroDivisionError), state.events.span("called"):
        _ = 1 / 0
    assert sk.current_correlation() is None
    assert [change.operation for change in state.changes()] == ["event"]


def test_an_event_that_cannot_be_is_refused(state: sk.StateManager) -> None:
    for event, data, error, code in [
        ("", None, sk.errors.InvalidKey, "key.empty"),
        ("a\nb", None, sk.errors.InvalidKey, "key.control_character"),
        ("x" * 257, None, sk.errors.InvalidKey, "key.too_long"),
        ("made", object(), sk.errors.NotSerializable, "value.unsupported_type"),
    ]:
        with pytest.raises(error) as refused:
            state.events.emit(event, data)
        assert refused.value.code == code
    wrong: Any = 7
    with pytest.raises(TypeError):
        state.events.emit(wrong)
    with pytest.raises((TypeError, ValueError)):
        state.events.emit("made", cause=-1)
    assert state.last_version == 0


def test_a_store_that_takes_no_writes_takes_no_events(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    events = state.events
    assert repr(events) == f"<Events of {str(tmp_path / 's')!r}>"
    state.close()
    with pytest.raises(sk.errors.Closed):
        events.emit("made")
    with sk.open(tmp_path / "s", read_only=True) as looked, pytest.raises(sk.errors.ReadOnly):
        looked.events.emit("made")


def test_an_event_is_acknowledged_as_durable_as_a_write_is(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", durability="sync") as state:
        assert state.durable_version == 0
        assert state.events.emit("made") == state.durable_version == 1
        assert asyncio.run(state.events.aemit("made")) == state.durable_version == 2


def test_events_go_with_the_log(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", segment_bytes=65536, ring_bytes=65536, keep_log_bytes=0) as state:
        for i in range(40):
            state.events.emit("large", "x" * 8000 + str(i))
        assert len(list(state.changes())) == 40
        assert state.checkpoint() == 40
        assert len(list(state.changes())) < 20
        assert state.verify().damages == ()
    with sk.open(tmp_path / "s") as state:
        assert state.last_version == 40
        assert state.recovery.snapshot_row_count == 0
