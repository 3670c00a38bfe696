"""Forks that stop half way, at every batch, and forks that are larger than a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager
from spellkeep.agent import Agent, Retention, batches
from spellkeep.agent.conversation import Conversation
from spellkeep.batch import Batch
from spellkeep.handle import ScopeHandle


@pytest.fixture
def state() -> Iterator[StateManager]:
    """An open store."""
    with sk.open("memory:") as opened:
        yield opened


@pytest.fixture
def fork(state: StateManager) -> Agent:
    """A fork with messages, variables and a past of its own."""
    scout = state.agent("scout")
    scout.messages.extend({"role": "user", "content": number} for number in range(40))
    scout.context.update(a=1, b=2)
    fork = scout.fork("fork")
    for number in range(20):
        with fork.step():
            fork.messages.add("user", 40 + number)
            fork.context["a"] = number
    fork.tag("there", fork.versions()[3].version)
    del fork.context["b"]
    fork.messages.edit(0, content="edited")
    fork.messages.delete(slice(1, 4))
    return fork


class Killed(BaseException):
    """Stands in for the end of the process."""


def anew(state: StateManager, agent_id: str) -> Agent:
    """An agent as another process finds it."""
    del state._agents
    return state.agent(agent_id)


@pytest.mark.parametrize("committed", range(10))
def test_a_detach_that_was_cut_short_can_be_gone_on_with(
    state: StateManager, fork: Agent, monkeypatch: pytest.MonkeyPatch, committed: int
) -> None:
    shown, versions, tags = fork.to_dict(), fork.versions(), fork.tags
    commits = list[None]()
    commit = Batch.commit

    def commit_or_die(self: Batch, **options: Any) -> int:
        if len(commits) == committed:
            raise Killed
        commits.append(None)
        return commit(self, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(batches, "_OPERATIONS", 10)
        patch.setattr(Batch, "commit", commit_or_die)
        fork.detach()
        pytest.fail("it has fewer batches than that")
    fork = anew(state, "fork")
    assert fork.to_dict() == shown
    if state.agent("scout").forks:
        assert (fork.versions(), fork.tags) == (versions, tags)
        assert [fork.at(each.version).version for each in versions]
        assert fork.detach()
    assert fork.to_dict() == shown and fork.tags == {} and state.agent("scout").delete()
    [created] = fork.versions()
    assert fork.at(created.version).to_dict() == shown and len(set(created.keys)) == len(created.keys)
    with fork.step():
        fork.messages.add("user", "on")
        fork.context["a"] = "on"
    latest, _ = fork.versions()
    assert set(latest.keys) == {"message/0000000060", "context/a"}
    for version in range(created.version, latest.version):
        assert fork.at(version).to_dict() == shown
    fork.retention = Retention(keep_last=1)
    fork.prune()
    assert not state.list_keys(fork.scope, "past/")


def test_a_fork_with_more_past_than_a_batch_takes_can_be_detached(state: StateManager) -> None:
    scout = state.agent("scout")
    scout.messages.add("user", "hi")
    fork = scout.fork("fork")
    for _ in range(6):
        fork.context.update((str(number), None) for number in range(20_000))
    assert state.stats().key_count > 100_000
    assert fork.detach() == fork.version and len(fork.context) == 20_000
    assert state.stats().key_count < 21_000 and scout.forks == []


def test_a_pruning_does_not_look_at_what_earlier_ones_cleared_away(
    state: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each looked up every message that there ever was: half a second after 200,000, every 256 saves.
    scout = state.agent("scout")
    scout.retention = Retention(keep_last=1)
    scout.messages.extend({"role": "user", "content": number} for number in range(1_000))
    scout.messages.edit(500, content="edited")
    scout.messages.delete(slice(0, 990))
    scout.messages.delete(slice(2, 5))
    assert scout.prune() > 990
    looked = list[int]()
    has = Conversation.has
    monkeypatch.setattr(Conversation, "has", lambda self, number: looked.append(number) or has(self, number))
    exists = list[str]()
    monkeypatch.setattr(ScopeHandle, "exists", lambda self, key: exists.append(key) or self.version(key) > 0)
    scout.context["n"] = 1
    scout.context["n"] = 2
    assert scout.prune() == 1 and len(looked) + len(exists) < 20
    assert [message.content for message in scout.messages] == [990, 991, 995, 996, 997, 998, 999]
    assert len(state.list_keys(scout.scope, "message/")) == 7 and not state.list_keys(scout.scope, "edit/")


def test_pruning_on_an_event_loop_waits_for_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[bool]()
    commit = Batch.commit

    def commit_noted(self: Batch, *, acknowledge: bool = True) -> int:
        waits.append(acknowledge)
        return commit(self, acknowledge=acknowledge)

    async def live() -> None:
        async with sk.open(tmp_path / "store", durability="sync") as state:
            scout = state.agent("scout")
            scout.retention = Retention(keep_last=1)
            monkeypatch.setattr(Batch, "commit", commit_noted)
            for number in range(258):
                await scout.context.aset("n", number)
            assert state.stats().key_count < 100 and not any(waits)
            scout.context["n"] = scout.context["m"] = 1
            assert scout.prune() and state.durable_version == state.last_version

    asyncio.run(live())
