"""Hooks around whole saves and loads of agents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope, errors
from spellkeep.agent import Agent, AutoSave, PersistentAgentMixin
from spellkeep.hooks import HookContext, HookResult, Observer

SCOUT = StateScope.agent("scout")
STATE = {"messages": [{"role": "user", "content": "hello"}], "context": {"city": "Lyon"}, "note": (1, {2})}


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:", allow_replay=True) as opened:
        yield opened


class Scout(PersistentAgentMixin):
    agent_id = "scout"

    def __init__(self) -> None:
        self.plan = {"step": 1}


async def autosaved(state: StateManager) -> None:
    async with AutoSave(state, Scout(), AutoSave.minimal, lock=nullcontext()) as saves:
        await saves.asave()


SAVES: dict[str, Callable[[StateManager], Any]] = {
    "save_agent_state": lambda state: state.save_agent_state("scout", STATE),
    "asave_agent_state": lambda state: asyncio.run(state.asave_agent_state("scout", STATE)),
    "Agent.save": lambda state: state.agent("scout").save(STATE),
    "Agent.asave": lambda state: asyncio.run(state.agent("scout").asave(STATE)),
    "mixin": lambda state: Scout().save(state),
    "amixin": lambda state: asyncio.run(Scout().asave(state)),
    "AutoSave": lambda state: asyncio.run(autosaved(state)),
}


@pytest.mark.parametrize("name", SAVES)
def test_every_whole_save_is_asked_about_with_the_state(state: StateManager, name: str) -> None:
    told = list[tuple[Any, ...]]()

    @state.hooks.before("agent_save", scope="agent:sc*")
    def look(context: HookContext) -> None:
        told.append((context.operation, context.scope, context.key, context.value))

    SAVES[name](state)
    saved = state.load_agent_state("scout")
    assert told and told[0] == ("agent_save", SCOUT, None, saved)
    assert saved == (STATE if "mixin" not in name and name != "AutoSave" else {"plan": {"step": 1}})


@pytest.mark.parametrize("name", SAVES)
def test_a_save_that_is_refused_writes_nothing(state: StateManager, name: str) -> None:
    @state.hooks.before("agent_save")
    def refuse(context: HookContext) -> HookResult:
        return HookResult.cancel("not today")

    begun = state.last_version
    with pytest.raises(errors.HookVeto, match="not today"):
        SAVES[name](state)
    assert not state.agent("scout").exists
    assert [change for change in state.changes(since=begun) if change.scope == SCOUT] == []


def test_what_a_hook_makes_of_a_state_is_what_is_saved(state: StateManager) -> None:
    @state.hooks.before("agent_save")
    def without_note(context: HookContext) -> HookResult:
        return HookResult.modify({name: part for name, part in context.value.items() if name != "note"})

    seen = list[Any]()
    state.hooks.before("agent_save", name="second", priority=1)(lambda context: seen.append(context.value))
    state.save_agent_state("scout", STATE)
    wanted = {name: part for name, part in STATE.items() if name != "note"}
    assert seen == [wanted] and state.load_agent_state("scout") == wanted
    (modified,) = state.hooks.history("without_note")
    assert modified.result == "modified" and modified.input is not None and modified.input["value"]["note"]
    (passed,) = (drained := state.hooks.drain(60)) and state.hooks.history("second")
    assert drained and passed.version == state.agent("scout").version


def test_another_thread_that_changes_the_state_meanwhile_changes_nothing_that_is_saved(state: StateManager) -> None:
    mine = {"plan": [1, 2, 3]}

    @state.hooks.before("agent_save")
    def look(context: HookContext) -> None:
        other = threading.Thread(target=lambda: mine["plan"].append(4))
        other.start()
        other.join()

    state.save_agent_state("scout", mine)
    assert state.load_agent_state("scout") == {"plan": [1, 2, 3]}


def test_a_save_in_a_hook_runs_hooks_and_one_that_runs_itself_is_stopped(state: StateManager) -> None:
    @state.hooks.before("agent_save")
    def again(context: HookContext) -> None:
        state.save_agent_state("scout", STATE)

    with pytest.raises(errors.LimitExceeded) as caught:
        state.save_agent_state("scout", STATE)
    assert caught.value.code == "hook.depth"


def test_a_hook_may_save_another_agent_as_no_lock_is_held(state: StateManager) -> None:
    done = threading.Event()

    @state.hooks.before("agent_save", scope="agent:scout")
    def copy(context: HookContext) -> None:
        # In another thread, which a lock of this save would keep waiting.
        def other() -> None:
            state.agent("scout").messages.add("user", "from the other thread")
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        assert done.wait(10)

    state.save_agent_state("scout", {"messages": []})
    assert done.is_set()


def test_a_validator_that_fails_lets_no_save_pass_and_an_observer_every(state: StateManager) -> None:
    class Broken(Observer):
        points = ("before_agent_save", "before_agent_load")

        def decide(self, context: HookContext) -> None:
            raise ValueError("secret")

    state.hooks.register(Broken())
    state.save_agent_state("scout", STATE)
    assert state.load_agent_state("scout") == STATE
    state.hooks.before("agent_save", "agent_load", name="closed")(lambda context: 1 / 0)
    for call in (lambda: state.save_agent_state("scout", {}), lambda: state.load_agent_state("scout")):
        with pytest.raises(errors.HookVeto) as caught:
            call()
        assert caught.value.code == "hook.failed"
    state.hooks.disable("closed")
    assert state.load_agent_state("scout") == STATE


LOADS: dict[str, Callable[[StateManager], Any]] = {
    "load_agent_state": lambda state: state.load_agent_state("scout"),
    "aload_agent_state": lambda state: asyncio.run(state.aload_agent_state("scout")),
    "at": lambda state: state.agent("scout").at(state.agent("scout").version),
    "restore": lambda state: state.agent("scout").restore(state.agent("scout").version),
    "mixin": lambda state: Scout().load(state),
}


@pytest.mark.parametrize("name", LOADS)
def test_every_whole_load_is_asked_about_and_told_of(state: StateManager, name: str) -> None:
    Scout().save(state)
    version, asked, told = state.agent("scout").version, list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    state.hooks.before("agent_load", name="ask")(
        lambda context: asked.append((context.scope, context.value, context.version))
    )
    state.hooks.after("agent_load", name="told")(lambda change: told.append((change.scope, change.value["version"])))
    with sk.correlate("req-1", actor="anna"):
        LOADS[name](state)
    assert state.hooks.drain(60)
    which = version if name in ("at", "restore") else 0
    assert asked == [(SCOUT, None, which)]
    assert told == [(SCOUT, which or None)]
    (event,) = state.timeline(types="agent.load")
    assert (event.correlation, event.actor) == ("req-1", "anna")
    state.hooks.before("agent_load", name="refuse")(lambda context: HookResult.cancel("not for you"))
    with pytest.raises(errors.HookVeto, match="not for you"):
        LOADS[name](state)


def test_a_replayed_hook_that_loads_asks_and_tells_nobody(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    said, asked, told = list[Any](), list[Any](), list[Any]()
    monkeypatch.setattr("sys.excepthook", lambda *what: said.append(what))
    Scout().save(state)
    state.hooks.before("set", name="loads")(lambda context: state.load_agent_state("scout") and None)
    state.set(StateScope.GLOBAL, "a", 1)
    state.hooks.before("agent_load", name="ask")(lambda context: asked.append(context.scope))
    state.hooks.after("agent_load", name="told")(told.append)
    assert state.hooks.drain(60)
    before = state.last_version
    assert state.replay.verify(state.replay.select(hook="loads")).counts == {"same": 1}
    assert (state.last_version, said, asked, told) == (before, [], [], [])


def test_a_load_of_nothing_is_asked_about_and_not_told_of(state: StateManager) -> None:
    asked, told = list[Any](), list[Any]()
    state.hooks.before("agent_load", name="ask")(lambda context: asked.append(context.scope))
    state.hooks.after("agent_load", name="told")(told.append)
    assert state.load_agent_state("scout") is None
    assert state.hooks.drain(60)
    assert (asked, told) == ([SCOUT], [])


def test_without_such_hooks_a_load_writes_nothing(state: StateManager) -> None:
    state.save_agent_state("scout", STATE)
    state.hooks.before("set", name="other")(lambda context: None)
    before = state.last_version
    state.load_agent_state("scout")
    state.agent("scout").at(before)
    assert state.last_version == before


def test_a_store_that_is_looked_at_asks_and_tells_nobody(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        state.save_agent_state("scout", STATE)
    with sk.open(tmp_path / "s", read_only=True) as state:
        asked = list[Any]()
        state.hooks.before("agent_load", name="ask")(lambda context: asked.append(context.scope))
        assert state.load_agent_state("scout") == STATE
        assert asked == [SCOUT]


def grown(scout: Agent) -> None:
    for text in ("one", "two", "three"):
        scout.messages.add("user", text)
    scout.context["city"] = "Lyon"
    scout.context["city"] = "Paris"
    scout.tag("start")
    scout.status = "processing"
    with scout.step("both"):
        scout.messages.add("user", "four")
        scout.context["city"] = "Rome"
    scout.messages.extend([{"role": "user", "content": "x"}] * 3)
    del scout.messages[1]
    scout.messages[0] = {"role": "user", "content": "y"}
    scout.tools.record("search", ms=5)
    del scout.context["city"]
    scout.save({"messages": [], "other": {"a": 1}})
    scout.save({"messages": [], "other": {"a": 1}})
    scout.restore("start")
    scout.describe(name="Scout")


def test_after_hooks_are_given_each_version_of_an_agent_and_nothing_else(tmp_path: Path) -> None:
    saved = list[int]()
    with sk.open(tmp_path / "s") as state:
        grown(state.agent("scout"))
    # Also what was saved while nobody listened.
    with sk.open(tmp_path / "s") as state:

        @state.hooks.after("agent_save", since=0)
        def look(change: Change) -> None:
            assert change.scope == SCOUT
            saved.append(change.version)
            state.agent("scout").at(change.version).to_dict()

        state.agent("scout").messages.add("user", "later")
        state.set(StateScope.user("anna"), "context/city", "Lyon")
        assert state.hooks.drain(60)
        assert saved == [each.version for each in state.agent("scout").versions()][::-1]
        (stats,) = state.hooks.stats()
        assert stats.failed_count == 0
