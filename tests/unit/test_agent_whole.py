"""Whole states: what counts as the same, and what comes back as it was."""

from __future__ import annotations

import enum
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, errors
from spellkeep.agent import Agent
from spellkeep.agent.saving import Saver
from spellkeep.hooks import HookResult


@pytest.fixture
def state() -> Iterator[StateManager]:
    """An open store."""
    with sk.open("memory:") as opened:
        yield opened


# Sets of strings iterate in another order in each process.
_STATE = """
import sys, spellkeep as sk
letters = [chr(97 + number) for number in range(20)]
said = [{"role": "user", "content": [number, {*letters}]} for number in range(4)]
whole = {"messages": said, "context": {"seen": {*letters}}, "mood": {"all": (frozenset(letters), 1)}}
with sk.open(sys.argv[1]) as state:
    scout = state.agent("scout")
    scout.save(whole)
    scout.messages.edit(2, content={*letters[3:]})
    if not state.agent("fork").exists:
        scout.fork("fork")
    before = state.last_version
    whole["messages"][2] = {"role": "user", "content": {*letters[3:]}}
    for agent in (scout, state.agent("fork")):
        assert agent.save(agent.to_dict()) == agent.save(whole) == 0, agent.versions(limit=1)
    print(before)
"""


def test_sets_are_the_same_in_every_process(tmp_path: Path) -> None:
    # A state with sets was written anew after every restart though nothing in it had changed.
    for seed in range(3):
        done = subprocess.run(
            [sys.executable, "-c", _STATE, str(tmp_path / "store")],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_what_is_equal_in_python_only_is_not_the_same(state: StateManager) -> None:
    state.save_agent_state("scout", {"messages": [{"n": {1, 2}}], "context": {"m": {"a": {2}, "b": 1}, "n": {1}}})
    loaded = state.load_agent_state("scout")
    assert loaded is not None
    for changed in (
        {**loaded, "messages": [{"n": {1.0, 2}}]},
        {**loaded, "messages": [{"n": frozenset({1, 2})}]},
        {**loaded, "context": {"m": {"a": {2}, "b": 1}, "n": {True}}},
        {**loaded, "context": {"m": {"b": 1, "a": {2}}, "n": {1}}},
        {**loaded, "context": {"m": {"a": {2}, "b": True}, "n": {1}}},
    ):
        assert state.save_agent_state("scout", changed)
        assert repr(state.load_agent_state("scout")) == repr(changed)
        assert state.save_agent_state("scout", loaded)


def test_names_of_another_class_are_not_made_plain(state: StateManager) -> None:
    # They were kept as plain strings without a word.
    class Name(enum.StrEnum):
        GOAL = "goal"

    with pytest.raises(errors.NotSerializable):
        state.save_agent_state("scout", {"context": {Name.GOAL: 1}})
    sk.value.register(Name, tag="test.Name")
    whole = {"context": {Name.GOAL: 1}}
    state.save_agent_state("scout", whole)
    loaded = state.load_agent_state("scout")
    assert loaded == whole and [type(name) for name in loaded["context"]] == [Name]


def test_what_is_larger_than_a_save_is_refused_and_can_be_saved_in_parts(state: StateManager) -> None:
    scout = state.agent("scout")
    said = [{"role": "user", "content": None}] * 99_999
    with pytest.raises(errors.LimitExceeded) as refusal:
        scout.messages.extend(said)
    assert refusal.value.code == "batch.operations" and "extend()" in str(refusal.value)
    assert not scout.exists
    # One for the agent and one for the step.
    scout.messages.extend(said[:-1])
    assert len(scout.messages) == 99_998
    assert scout.save({"messages": [*said, *said[:10]]}) and len(scout.messages) == 100_009


def test_a_part_that_is_one_value_stays_one(state: StateManager) -> None:
    whole = {"messages": "none", "context": [1]}
    scout = state.agent("scout")
    scout.save(whole)
    scout.context["n"] = 1
    scout.messages.add("user", "hi")
    version = scout.version
    assert scout.to_dict() == whole and scout.save(whole) and scout.save(whole) == 0
    assert not scout.context and not scout.messages
    assert scout.at(version).context == {"n": 1} and scout.at(version).messages[0].content == "hi"


def test_saving_by_id_alone_reads_the_agent_once_and_keeps_few(
    state: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, learn = list[str](), Saver._learn
    monkeypatch.setattr(Saver, "_learn", lambda saver: (learned.append(saver.handle.scope.ids[0]), learn(saver))[1])
    for number in range(3):
        state.save_agent_state("scout", {"messages": [{"content": each} for each in range(number)]})
        gc.collect()
        if number == 0:
            assert set(learned) == {"scout"}
            learned.clear()
    assert not learned and state.agent("scout") is state.agent("scout")
    for number in range(100):
        state.agent(f"scout-{number}")
    gc.collect()
    assert len(state._agents.by_id) <= 33


def test_one_message_more_is_one_record(state: StateManager) -> None:
    messages = [{"role": "user", "content": each} for each in range(3)]
    state.save_agent_state("scout", {"messages": messages})
    before = state.last_version
    messages.append({"role": "user", "content": "one more"})
    assert state.save_agent_state("scout", {"messages": messages}) == before + 1 == state.last_version
    # Somebody else writes past the agent: the save finds it out, and looks again.
    scout = state.agent("scout")
    state.set(scout.scope, "message/0000000004", {"role": "user", "content": "from elsewhere"})
    messages.append({"role": "user", "content": "mine"})
    state.save_agent_state("scout", {"messages": messages})
    assert state.load_agent_state("scout") == {"messages": messages}
    # A label is kept, and takes a record of its own.
    with scout.step("asks"):
        scout.messages.add("user", "with a label")
    messages.append({"role": "user", "content": "with a label"})
    assert scout.versions(limit=1)[0].label == "asks" and scout.to_dict() == {"messages": messages}
    # A window that moves on takes one away too.
    state.save_agent_state("scout", {"messages": [*messages[1:], messages[0]]})
    assert state.load_agent_state("scout") == {"messages": [*messages[1:], messages[0]]}


def test_a_hook_before_batches_is_asked_of_one_message_too(state: StateManager) -> None:
    messages = [{"role": "user", "content": "first"}]
    state.save_agent_state("scout", {"messages": messages})
    state.hooks.before("batch", scope="agent:*", name="full")(lambda context: HookResult.cancel("the budget is spent"))
    with pytest.raises(errors.HookVeto):
        state.save_agent_state("scout", {"messages": [*messages, {"role": "user", "content": "second"}]})
    assert state.load_agent_state("scout") == {"messages": messages}


class Detaches:
    """Its encode function detaches an agent, once."""

    agent: Agent | None = None

    @classmethod
    def encode(cls, _: Any) -> str:
        agent, cls.agent = cls.agent, None
        if agent is not None:
            agent.detach()
        return "detached"


sk.register(Detaches, tag="test.Detaches", encode=Detaches.encode, decode=lambda payload, _: payload)


def test_an_agent_that_is_detached_while_its_message_is_encoded_begins_again(state: StateManager) -> None:
    state.agent("base").messages.add("user", "of the base")
    fork = state.agent("base").fork("fork")
    fork.messages.add("user", "of the fork")
    Detaches.agent = fork
    fork.messages.extend([{"role": "user", "content": Detaches()}])
    assert Detaches.agent is None
    with fork.step("on"):
        fork.messages.add("user", "on")
        fork.context["n"] = 1
    assert all(key[len("step/") :].isdigit() for key in state.list_keys(fork.scope, "step/"))
    assert [each.content for each in fork.messages] == ["of the base", "of the fork", "detached", "on"]


def test_agents_are_let_go_of_with_their_store(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    state.save_agent_state("scout", {"messages": [], "n": 1})
    saver = weakref.ref(state.agent("scout")._saver)
    state.close()
    gc.collect()
    assert saver() is None
    with pytest.raises(errors.Closed):
        state.agent("scout")
    # Also without a close, once the collector has seen it.
    state = sk.open(tmp_path / "s")
    assert state.load_agent_state("scout") == {"messages": [], "n": 1}
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None
    with sk.open(tmp_path / "s") as again:
        assert again.load_agent_state("scout") == {"messages": [], "n": 1}


def test_an_agent_has_the_id_of_its_scope(state: StateManager) -> None:
    class Role(enum.StrEnum):
        SCOUT = "scout"

    scout = state.agent(Role.SCOUT)
    assert type(scout.id) is str and state.agent("scout") is scout
    scout.messages.add("user", "hi")
    assert state.agent("scout").fork("fork").exists


@pytest.mark.parametrize("first", [7, 95, 9_999_999_996])
def test_numbered_keys_are_counted_on_over_every_digit(state: StateManager, first: int) -> None:
    handle = state.scope(sk.StateScope.agent("scout"))
    for number in range(first, first + 9):
        handle[f"m/{number:010d}"] = number
    handle["m/0000000000"] = 0
    numbers = [*range(first, first + 9)]
    assert handle._numbered("m/", first, first + 9) == numbers
    assert handle._numbered_equal("m/", first, [*numbers, -1]) == 9
    assert handle._numbered_find("m/", first, first + 9, first + 8) == first + 8
    assert handle._numbered("m/", 0, 1) == [0]
