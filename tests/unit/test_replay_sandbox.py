"""Nothing that is replayed is written; and what is written in a sandbox stays there."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.replay import Path, ReplayReport

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:", allow_replay=True) as opened:
        yield opened


def statuses(report: ReplayReport) -> list[str]:
    return [item.status for item in report]


REACHES: dict[str, Callable[[StateManager], Any]] = {
    "set": lambda state: state.set(SCOUT, "a", 9),
    "handle": lambda state: state.scope(SCOUT).set("a", 9),
    "item": lambda state: state.scope(SCOUT).__setitem__("a", 9),
    "update": lambda state: state.scope(SCOUT).update(a=9),
    "pop": lambda state: state.scope(SCOUT).pop("a"),
    "delete": lambda state: state.delete(SCOUT, "a"),
    "clear": lambda state: state.clear_scope(SCOUT),
    "handle clear": lambda state: state.scope(SCOUT).clear(),
    "event": lambda state: state.events.emit("x"),
    "batch": lambda state: state.batch().set(SCOUT, "a", 9),
    "async": lambda state: asyncio.run(state.aset(SCOUT, "a", 9)),
    "correlated": lambda state: _correlated(state),
    "copied context": lambda state: contextvars.copy_context().run(state.set, SCOUT, "a", 9),
    "agent": lambda state: state.agent("scout").messages.add("user", "hi"),
    "hooks": lambda state: state.hooks.disable("hook"),
}


def _correlated(state: StateManager) -> None:
    with sk.correlate("other"):
        state.set(SCOUT, "a", 9)


@pytest.mark.parametrize("name", REACHES)
def test_a_captured_handle_writes_nothing(state: StateManager, name: str) -> None:
    armed = False

    @state.hooks.before("set", key="go")
    def hook(context: Any) -> None:
        if armed:
            REACHES[name](state)

    state.set(SCOUT, "a", 1)
    state.set(SCOUT, "go", 1)
    assert state.hooks.drain(60)
    armed, before = True, state.last_version
    report = state.replay.verify(state.replay.select(hook="hook"))
    assert statuses(report) == ["writes"]
    assert (state.last_version, state.get(SCOUT, "a")) == (before, 1)
    assert str(report[0].differences[0]) == "outcome: 'proceeded' -> 'failed'"
    # And nothing of it is left behind.
    state.set(SCOUT, "a", 2)


def test_a_batch_that_was_filled_before_is_not_committed_by_a_replay(state: StateManager) -> None:
    batch = state.batch()
    batch.set(SCOUT, "a", 9)
    state.hooks.after("set", name="hook")(lambda change: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    before = state.last_version
    report = state.replay.verify(state.replay.select(hook="hook"), hook=lambda change: batch.commit() and None)
    assert (statuses(report), state.last_version) == (["writes"], before)


def test_the_sandbox_refuses_and_a_refusal_that_is_swallowed_is_told(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    found, before = state.replay.select(hook="hook"), state.last_version

    def swallowing(context: Any) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: context.state.set(SCOUT, "a", 2),
            lambda: context.state.delete(SCOUT, "a"),
            lambda: context.state.clear_scope(SCOUT),
            lambda: context.state.events.emit("x"),
            lambda: context.state.scope(SCOUT).update(a=3),
        ]
        for call in calls:
            with pytest.raises(errors.ReadOnly) as caught:
                call()
            assert caught.value.code == "replay.read_only"
        with pytest.raises(errors.ReadOnly), context.state.batch() as batch:
            batch.set(SCOUT, "a", 2)
        assert not hasattr(context.state, "close")
        assert sk.current_correlation().actor is None  # type: ignore[union-attr]

    with sk.correlate("mine", actor="me"):
        report = state.replay.verify(found, hook=swallowing)
    assert (statuses(report), report[0].answer and report[0].answer.outcome) == (["writes"], "proceeded")
    assert state.last_version == before


def test_what_if_changes_parts_by_path_and_keeps_what_is_written_apart(state: StateManager) -> None:
    def pays(context: Any) -> HookResult | None:
        spent = context.state.get(GLOBAL, "spent", 0) + context.value["amount"]
        context.state.set(GLOBAL, "spent", spent)
        assert context.state.get(GLOBAL, "spent") == spent
        return HookResult.cancel("too much") if spent > 10 else None

    state.set(GLOBAL, "spent", 4)
    state.hooks.before("set", name="pays", scope="agent:*")(lambda context: None)
    state.set(SCOUT, "order", {"amount": 2, "lines": [{"n": 1}]})
    assert state.hooks.drain(60)
    state.set(GLOBAL, "spent", 100)
    found, before = state.replay.select(hook="pays"), state.last_version
    fits = state.replay.what_if(found, {"value.amount": 5}, hook=pays)
    places: dict[Path, Any] = {"value.amount": 7, ("value", "lines", 0, "n"): 2}
    much = state.replay.what_if(found, places, hook=pays)
    assert fits[0].answer is not None
    assert fits[0].answer.writes == (("set", "global", "spent", 9),)
    assert fits[0].answer.outcome == "proceeded"
    assert "outcome: 'proceeded' -> 'cancelled'" in str(much)
    for path in ("value.nothing.deeper", "state.x", "value.lines.7", "value.amount.x"):
        (item,) = state.replay.what_if(found, {path: 1}, hook=pays)
        assert (item.status, "replay.path" in item.detail) == ("error", True), path
    assert (state.last_version, state.get(GLOBAL, "spent")) == (before, 100)


def test_what_if_of_an_after_hook_and_of_whole_attributes(state: StateManager) -> None:
    state.hooks.after("set", name="look")(lambda change: None)
    state.set(SCOUT, "a", {"x": 1})
    assert state.hooks.drain(60)
    seen = list[Any]()

    def look(change: Any, state: Any) -> None:
        seen.append((change.value, str(change.scope), change.key, change.actor, change.version))
        state.events.emit("seen", change.value)

    found = state.replay.select(hook="look")
    parameters = {"value.x": 2, "scope": "user:ada", "key": "b", "actor": "eve"}
    (item,) = state.replay.what_if(found, parameters, hook=look)
    assert seen == [({"x": 2}, "user:ada", "b", "eve", found[0].version)]
    assert item.answer is not None
    assert item.answer.writes == (("event", "global", "seen", {"x": 2}),)
