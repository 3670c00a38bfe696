"""Agents among threads, tasks, forked processes, other stores and the classes of users."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.agent import Agent


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    """An open store."""
    with sk.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def scout(state: StateManager) -> Agent:
    """An agent that was never saved."""
    return state.agent("scout")


def test_tools_add_up_from_threads(scout: Agent) -> None:
    def use() -> None:
        for number in range(50):
            scout.tools.record("search", ms=2, ok=number % 5 > 0, input_tokens=3, cost=0.5)
            scout.messages.add("tool", "found")

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    usage = scout.tools["search"]
    assert (usage.calls, usage.failed, usage.total_ms, usage.average_ms) == (400, 80, 800, 2)
    assert (usage.input_tokens, usage.cost) == (1200, 200.0) and len(scout.messages) == 400
    with pytest.raises(ZeroDivisionError), scout.tools.call("divide"):
        raise ZeroDivisionError
    assert scout.tools["divide"].failed == 1 and scout.tools.total().calls == 401


def test_a_class_may_look_at_the_agent_while_it_is_encoded(scout: Agent) -> None:
    class Counted:
        pass

    class Writing:
        pass

    sk.register(Counted, tag="test.Counted", encode=lambda _: len(scout.messages), decode=lambda payload, _: payload)
    sk.register(
        Writing, tag="test.Writing", encode=lambda _: scout.messages.add("tool", 1), decode=lambda payload, _: 0
    )
    scout.messages.add("user", "hi")
    scout.messages.add("user", Counted())
    scout.context["n"] = Counted()
    assert (scout.messages[-1].content, scout.context["n"]) == (1, 2)
    # Whatever it is to say has another number by then, however often it is tried.
    with pytest.raises(errors.Conflict):
        scout.messages.add("user", Writing())
    count = len(scout.messages)
    assert {message.role for message in scout.messages[2:]} == {"tool"}
    scout.messages.add("user", "on")
    assert len(scout.messages) == count + 1 and scout.messages[-1].content == "on"


def test_a_forked_child_is_told_and_does_not_wait(scout: Agent) -> None:
    scout.messages.add("user", "hi")
    with scout._saver.lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                threading.Thread(target=lambda: None).start()
                scout.messages.add("user", "child")
            except errors.Forked:
                code = 0
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and len(scout.messages) == 1


def test_a_read_only_store_shows_agents(tmp_path: Path) -> None:
    with sk.open(tmp_path / "store") as state:
        scout = state.agent("scout")
        first = scout.messages.add("user", "hi")
        scout.context["n"] = 1
    with sk.open(tmp_path / "store", read_only=True) as state:
        scout = state.agent("scout")
        assert len(scout.messages) == 1 and scout.at(first).context == {}
        for write in (lambda: scout.messages.add("user", "no"), lambda: scout.context.set("n", 2)):
            with pytest.raises(errors.ReadOnly):
                write()


@pytest.mark.parametrize("durability", ["interval", "sync"])
def test_async_twins(tmp_path: Path, durability: Any) -> None:
    async def live() -> None:
        async with sk.open(tmp_path / "store", durability=durability) as state:
            scout = await state.aagent("scout")
            await scout.messages.aadd("user", "hi")
            await scout.messages.aextend([{"role": "assistant", "content": "hello"}])
            await scout.context.aset("n", 1)
            async with scout.step():
                await scout.messages.aappend({"role": "user", "content": "step"})
                await scout.context.aset("n", 2)
            if durability == "sync":
                assert state.durable_version == state.last_version
            whole = await state.aload_agent_state("scout")
            assert whole is not None and await state.asave_agent_state("copy", whole)
            assert await state.alist_saved_agents() == ["copy", "scout"]
            assert await state.aload_agent_state("copy") == whole
            assert await state.adelete_agent_state("copy")

    asyncio.run(live())


def test_tasks_in_steps_do_not_mix(state: StateManager, scout: Agent) -> None:
    async def turn(name: str, pause: asyncio.Event, go: asyncio.Event) -> None:
        async with scout.step(name):
            scout.messages.add("user", name)
            pause.set()
            await go.wait()
            scout.messages.add("assistant", name)

    async def both() -> None:
        events = [asyncio.Event() for _ in range(4)]
        first = asyncio.create_task(turn("a", events[0], events[1]))
        second = asyncio.create_task(turn("b", events[2], events[3]))
        await events[0].wait()
        await events[2].wait()
        events[3].set()
        await second
        assert [message.content for message in scout.messages] == ["b", "b"]
        events[1].set()
        await first

    asyncio.run(both())
    assert [message.content for message in scout.messages] == ["b", "b", "a", "a"]


def test_calls_on_a_closed_store_say_so(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "store")
    scout = state.agent("scout")
    scout.messages.add("user", "hi")
    state.close()
    calls = (lambda: scout.messages.add("user", "no"), lambda: scout.messages[0], lambda: scout.context.set("n", 1))
    for call in calls:
        with pytest.raises(errors.Closed):
            call()


@pytest.mark.parametrize("change", ["append", "context", "look"])
def test_a_scope_that_was_cleared_past_the_agent_begins_again(state: StateManager, scout: Agent, change: str) -> None:
    # Messages went on behind the ones that were gone, without the entry of the agent, and nothing ever showed them.
    scout.messages.extend({"role": "user", "content": number} for number in range(5))
    state.clear_scope(scout.scope)
    if change == "append":
        scout.messages.add("user", "anew")
    elif change == "context":
        scout.context["n"] = 1
    assert len(scout.messages) == (change == "append") == len(list(scout.messages))
    scout.messages.add("user", "on")
    shown = scout.to_dict()
    assert scout.exists and [message["content"] for message in shown["messages"]][-1] == "on"
    del state._agents
    assert state.load_agent_state("scout") == shown


@pytest.mark.parametrize("entry", [5, "gpt", {"base": 1}, {"schema": 2}])
def test_a_scope_that_is_no_agent_is_left_alone(state: StateManager, entry: Any) -> None:
    scope = StateScope.agent("mine")
    state.set(scope, "agent", entry)
    version = state.set(scope, "goal", "mine")
    assert state.list_saved_agents() == []
    calls = (lambda: state.agent("mine").messages.add("user", "hi"), lambda: state.delete_agent_state("mine"))
    for call in (*calls, lambda: state.save_agent_state("mine", {}), lambda: state.load_agent_state("mine")):
        with pytest.raises(errors.SchemaMismatch) as refusal:
            call()
        assert refusal.value.code == "agent.schema" and "agent:mine" in str(refusal.value)
    assert state.get(scope, "agent") == entry
    assert state.last_version == version


def test_a_repr_does_not_raise(tmp_path: Path) -> None:
    with sk.open(tmp_path / "store") as state:
        scout = state.agent("scout")
        scout.messages.add("user", "hi")
        scout.context["n"] = 1
        view = scout.at(scout.version)
        message = scout.messages[0]
        shown = [scout, scout.messages, scout.context, scout.tools, view, view.context, message]
        assert "1 message" in repr(scout) and "n" in repr(scout.context) and "store.closed" not in repr(shown)
    assert repr(scout) == "<Agent, store.closed>" and repr(shown).count("store.closed") == len(shown) - 1
