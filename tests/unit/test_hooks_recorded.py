"""What a hook has recorded with its executions, for replays, and what could not be written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks import HookContext, HookResult

SCOUT = StateScope.agent("scout")
CANARY = "canary-4d1e5ab2"


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:", allow_replay=True) as opened:
        yield opened


def test_what_could_not_be_written_at_once_is_counted(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise errors.StorageFailed("the disk is full", code="storage.full")

    told = list[Any]()
    monkeypatch.setattr("spellkeep.hooks.registry.write_now", full)
    monkeypatch.setattr("sys.unraisablehook", lambda said: told.append(said.exc_value))
    state.hooks.before("set", name="no")(lambda context: HookResult.cancel("no"))
    state.hooks.before("delete", name="unwritten", history=False)(lambda context: HookResult.cancel("no"))
    for _ in range(3):
        with pytest.raises(errors.HookVeto, match="no"):
            state.set(SCOUT, "a", 1)
    with pytest.raises(errors.HookVeto):
        state.delete(SCOUT, "a")
    assert [each.unrecorded_count for each in state.hooks.stats()] == [3, 0]
    assert [type(each) for each in told] == [errors.StorageFailed] * 3


def test_what_a_hook_has_recorded_is_kept_with_the_execution_and_no_secret(state: StateManager) -> None:
    @state.hooks.before("set")
    def look(context: HookContext) -> HookResult | None:
        day = context.recorded(lambda: ("monday", 1.5))
        assert day == ("monday", 1.5)
        if context.value == 2:
            context.recorded(lambda: {"password": CANARY})
        return HookResult.cancel("no") if context.value == 3 else None

    @state.hooks.before("set", priority=1)
    def other(context: HookContext) -> None:
        pass

    for number in (1, 2):
        state.set(SCOUT, "a", number)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "a", 3)
    assert state.hooks.drain(60)
    kept = {each.result: each.recorded for each in state.hooks.history("look") if each.result == "cancelled"}
    assert kept == {"cancelled": (("monday", 1.5),)}
    passed = [each.recorded for each in state.hooks.history("look", result="proceeded")]
    assert passed == [None, (("monday", 1.5),)]
    assert [each.recorded for each in state.hooks.history("other")] == [(), ()]


def test_what_an_observer_that_failed_recorded_is_not_of_the_next_one(state: StateManager) -> None:
    @state.hooks.before("set", fail_closed=False)
    def broken(context: HookContext) -> None:
        context.recorded(lambda: "mine")
        raise ValueError

    state.hooks.before("set", name="next", priority=1)(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    assert [each.recorded for each in state.hooks.history("broken")] == [("mine",)]
    assert [each.recorded for each in state.hooks.history("next")] == [()]


def test_an_execution_does_not_record_without_end(state: StateManager) -> None:
    @state.hooks.before("set")
    def much(context: HookContext) -> None:
        for _ in range(context.value):
            context.recorded(lambda: "x" * 1000)

    state.set(SCOUT, "a", 4)
    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "a", 5)
    assert isinstance(caught.value.__cause__, errors.LimitExceeded)
    assert caught.value.__cause__.code == "hook.recorded"


def test_what_was_recorded_is_given_again_and_nothing_is_called(state: StateManager) -> None:
    ticks = iter(range(100))

    @state.hooks.before("set")
    def every_other(context: HookContext) -> HookResult | None:
        first, second = context.recorded(lambda: next(ticks)), context.recorded(lambda: next(ticks))
        return HookResult.cancel(f"{first} and {second}") if first % 4 else None

    for number in range(6):
        with suppress(errors.HookVeto):
            state.set(SCOUT, "a", number)
    assert state.hooks.drain(60)
    found = state.replay.select(hook="every_other")
    assert sorted(each.result for each in found) == ["cancelled"] * 3 + ["proceeded"] * 3
    for _ in range(2):
        assert state.replay.verify(found).counts == {"same": 6}
    assert next(ticks) == 12

    def asks_more(context: HookContext) -> None:
        for _ in range(3):
            context.recorded(lambda: 1)

    assert state.replay.verify(found, hook=asks_more).counts == {"input gone": 6}


def test_nothing_is_recorded_of_an_entry_whose_key_names_a_secret(state: StateManager) -> None:
    @state.hooks.before("set", name="look")
    def look(context: HookContext) -> HookResult | None:
        assert context.recorded(lambda: context.value) == context.value
        return HookResult.cancel("no") if context.key == "login/api_key" else None

    state.set(SCOUT, "context/password", CANARY)
    state.set(SCOUT, "plan", "walk")
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "login/api_key", CANARY)
    assert state.hooks.drain(60)
    kept = [change for change in state.changes() if change.scope.kind == "custom"]
    assert kept and not any(CANARY in repr(change.value) for change in kept)
    assert state.replay.verify(state.replay.select(hook="look")).counts == {"same": 1, "redacted": 2}
