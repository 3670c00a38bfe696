"""Agents that several threads change at once: what each call reads and writes fits together."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, errors
from spellkeep.agent import Agent, Retention, forks
from spellkeep.agent.parts import Part
from spellkeep.agent.saving import Saver


@pytest.fixture
def state() -> Iterator[StateManager]:
    """An open store."""
    with sk.open("memory:") as opened:
        yield opened


@pytest.fixture
def scout(state: StateManager) -> Agent:
    """An agent with five messages."""
    agent = state.agent("scout")
    agent.messages.extend(said(range(5)))
    return agent


def said(contents: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content} for content in contents]


def contents(agent: Agent) -> list[Any]:
    return [message.content for message in agent.messages]


def elsewhere(call: Callable[[], Any], timeout_s: float | None = None) -> threading.Thread:
    """Make a call in another thread; wait for its end, or for so long."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(timeout_s)
    return thread


class Meanwhile:
    """A value while whose encoding another thread makes a call, once."""

    call: Callable[[], Any] | None = None
    thread: threading.Thread

    @classmethod
    def encode(cls, _: Any) -> int:
        if (call := cls.call) is not None:
            cls.call = None
            cls.thread = elsewhere(call, 0.2)
        return 1


sk.register(Meanwhile, tag="test.Meanwhile", encode=Meanwhile.encode, decode=lambda payload, _: payload)


def test_an_interrupted_look_is_made_again(scout: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # A Ctrl-C while the end was looked for left a number of steps that was never read.
    handle = scout._saver.handle
    scout._saver.forget()

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            return getattr(handle, name)

        def _numbered_end(self, prefix: str, start: int) -> int:
            if prefix == "step/":
                raise KeyboardInterrupt
            return handle._numbered_end(prefix, start)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scout._saver, "handle", Interrupted())
        scout.messages.add("user", 5)
    with scout.step():
        scout.messages.add("user", 5)
        scout.context["n"] = 1
    assert contents(scout) == [0, 1, 2, 3, 4, 5]
    assert handle.list_keys("step/") == ["step/0000000000", "step/0000000001"]


def test_two_whole_saves_at_once_append_a_message_once(state: StateManager, scout: Agent) -> None:
    # Each found the new message missing, and each appended it.
    whole = {"messages": said([0, 1, 2, 3, 4]), "mark": Meanwhile()}
    scout.save(whole)
    whole["messages"].append({"role": "user", "content": 5})
    Meanwhile.call = lambda: scout.save(whole)
    scout.save(whole)
    Meanwhile.thread.join()
    assert contents(scout) == [0, 1, 2, 3, 4, 5]


def test_two_edits_at_once_both_hold(scout: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each read the message without the other's field, and the second wrote it so.
    threads = list[threading.Thread]()
    look = type(scout.messages).__getitem__

    def look_slowly(self: Any, index: Any) -> Any:
        found = look(self, index)
        if not threads:
            threads.append(threading.Thread())
            threads[0] = elsewhere(lambda: scout.messages.edit(0, b=2), 0.2)
        return found

    monkeypatch.setattr(type(scout.messages), "__getitem__", look_slowly)
    scout.messages.edit(0, a=1)
    threads[0].join()
    assert scout.messages[0].data == {"role": "user", "content": 0, "a": 1, "b": 2}


def test_the_last_message_is_never_one_that_was_not(scout: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # The end from before a save and what was gone after it: five messages, less two that came behind them.
    end = type(scout._saver).end
    threads = list[threading.Thread]()

    def change() -> None:
        scout.messages.extend(said(range(5, 9)))
        scout.messages.delete(slice(6, 8))

    def end_and_then(self: Any) -> int:
        found = end(self)
        if not threads:
            threads.append(threading.Thread())
            threads[0] = elsewhere(change, 0.2)
        return found

    monkeypatch.setattr(type(scout._saver), "end", end_and_then)
    assert scout.messages[-1].content == 4
    threads[0].join()
    assert scout.messages[-1].content == 8


def test_a_step_does_not_mix_its_messages_up_with_those_of_others(scout: Agent) -> None:
    # Message 6 of another thread was gone, so message 6 of the step was taken to be.
    def change() -> None:
        scout.messages.extend(said([5, 6, 7]))
        scout.messages.delete(6)

    with scout.step():
        elsewhere(change)
        scout.messages.extend(said("xyz"))
        assert contents(scout) == [0, 1, 2, 3, 4, "x", "y", "z"] and len(scout.messages) == 8
        scout.messages.delete(-2)
        scout.messages.edit(-1, content="Z")
        elsewhere(scout.messages.clear)
        assert contents(scout) == ["x", "Z"]
    assert contents(scout) == ["x", "Z"]


def test_a_step_on_messages_of_a_deleted_agent_is_refused(scout: Agent) -> None:
    # It removed the numbers of the old messages, which hid the new ones.
    with pytest.raises(errors.Conflict) as refusal, scout.step():
        scout.messages.delete(slice(0, 3))
        scout.messages.edit(-1, content="edited")
        elsewhere(scout.delete)
        scout.messages.add("user", "new")
    assert refusal.value.code == "agent.deleted" and not scout.exists
    with scout.step():
        scout.messages.add("user", "new")
        elsewhere(scout.delete)
    scout.messages.extend(said(range(5)))
    assert contents(scout) == ["new", 0, 1, 2, 3, 4]


@pytest.mark.parametrize("end", ["delete", "detach"])
def test_a_fork_made_anew_is_still_known_to_its_base(
    state: StateManager, scout: Agent, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    # The end of the old fork took the entry of the new one with it, and the base was pruned under its feet.
    release = forks.release

    def release_late(*args: Any) -> None:
        if end == "detach":
            state.clear_scope(fork.scope)
        scout.fork("fork")
        release(*args)

    fork = scout.fork("fork")
    with monkeypatch.context() as patch:
        patch.setattr(forks, "release", release_late)
        getattr(fork, end)()
    assert scout.forks == ["fork"]
    scout.retention = Retention(keep_last=1)
    scout.messages.clear()
    scout.prune()
    assert contents(state.agent("fork")) == [0, 1, 2, 3, 4]


def test_a_variable_that_goes_meanwhile_is_not_none(scout: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    scout.context.update(a=1, b=2)
    names = type(scout._saver.source).names

    def names_and_then(self: Any, prefix: str) -> list[str]:
        found = names(self, prefix)
        monkeypatch.undo()
        elsewhere(lambda: scout.context.pop("a"))
        return found

    monkeypatch.setattr(type(scout._saver.source), "names", names_and_then)
    assert scout.context.to_dict() == {"b": 2}


@pytest.mark.parametrize("turn", [iter, reversed])
def test_a_walk_goes_over_the_messages_of_its_beginning(scout: Agent, turn: Any) -> None:
    # Backwards, what was removed in front made it leave messages out.
    scout.messages.extend(said(range(5, 3_000)))
    walk = turn(scout.messages)
    seen = [next(walk).content for _ in range(10)]
    scout.messages.delete(slice(0, 20))
    scout.messages.add("user", "later")
    seen += [message.content for message in walk]
    assert seen == list(turn(range(3_000)))


def popped_item(part: Any) -> Any:
    try:
        return part.popitem()[1]
    except errors.KeyMissing:
        return None


CALLS = [
    lambda part: part.pop("turn", None),
    lambda part: part.setdefault("first", [1, 2]),
    popped_item,
]


@pytest.mark.parametrize("call", CALLS)
def test_of_two_who_ask_at_once_one_has_it(
    call: Callable[[Any], Any], scout: Agent, state: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    scout.context["turn"] = 7
    find, both, answers = Part._find, threading.Barrier(2), []
    version = state.last_version

    def find_beside_another(self: Part, name: str) -> Any:
        found = find(self, name)
        with contextlib.suppress(threading.BrokenBarrierError):
            # The other has looked, too, unless it has to wait.
            both.wait(0.3)
        return found

    monkeypatch.setattr(Part, "_find", find_beside_another)
    threads = [threading.Thread(target=lambda: answers.append(call(scout.context))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    saves = [each for each in scout.versions() if each.version > version]
    assert len(saves) == 1
    assert sorted(map(str, answers)) in (["7", "None"], ["[1, 2]", "[1, 2]"])


def test_who_asks_behind_somebody_that_wrote_past_the_agent_looks_again(
    scout: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    scout.context["turn"] = 7
    save, past = Saver._try_save, scout.store.scope(scout.scope)
    made: list[Any] = []

    def save_behind_another(self: Saver, change: Any, label: Any) -> int:
        made.append(change)
        if len(made) == 1:
            past.set("context/turn", 8)
            raise errors.Conflict("somebody was first", code="cas.version_mismatch")
        return save(self, change, label)

    monkeypatch.setattr(Saver, "_try_save", save_behind_another)
    assert scout.context.pop("turn") == 8
    assert len(made) == 2
    assert "turn" not in scout.context


def test_pop_and_setdefault_are_those_of_a_dict(scout: Agent, state: StateManager) -> None:
    assert scout.context.setdefault("place", "here") == "here"
    assert scout.context.setdefault("place", "there") == "here"
    version = state.last_version
    assert scout.context.pop("nothing", 3) == 3
    with pytest.raises(errors.KeyMissing):
        scout.context.pop("nothing")
    assert state.last_version == version
    assert scout.context.pop("place") == "here"
    assert "place" not in scout.context
    with pytest.raises(KeyError):
        scout.context.popitem()
    scout.context.update(one=1, two=2)
    assert scout.context.popitem() == ("one", 1)
    assert dict(scout.context) == {"two": 2}


def test_an_agent_is_deleted_without_blocking_the_loop(tmp_path: Path) -> None:
    async def delete(state: StateManager) -> tuple[bool, bool]:
        ran: list[int] = []
        state.hooks.before("clear", name="who")(lambda context: ran.append(threading.get_ident()))
        return await state.adelete_agent_state("scout"), ran != [threading.get_ident()]

    with sk.open(tmp_path / "s", durability="sync") as state:
        state.agent("scout").messages.extend(said("x"))
        assert asyncio.run(delete(state)) == (True, True)
        assert state.load_agent_state("scout") is None
