"""Agents against plain dicts: any sequence of changes, forks and prunings shows what a list of deep copies says."""

from __future__ import annotations

import copy
import random
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import spellkeep as sk
from spellkeep import errors
from spellkeep.agent import Agent, Retention

NAMES = ["a", "a/b", "b", "past", "é", "x" * 150]
ROLES = ["user", "assistant", "tool"]
names = st.sampled_from(NAMES)
values = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.booleans(), max_size=3)
messages = st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.text(max_size=8) | st.none()})
seeds = st.integers(0, 2**32 - 1)

State = dict[str, Any]


def empty() -> State:
    return {"messages": [], "context": {}, "custom": {}, "tools": {}, "status": "idle", "metadata": {}}


def shown(agent: Any) -> State:
    """The state, with of each tool the number of calls."""
    state = agent.to_dict()
    return {**state, "tools": {name: figures["ok"] for name, figures in state["tools"].items()}}


class Model:
    """An agent as it should be, with a copy of the state of each save."""

    def __init__(self, state: State | None = None, saves: dict[int, State] | None = None) -> None:
        self.state = copy.deepcopy(state) if state else empty()
        self.saves = dict(saves or {})
        self.tags: dict[str, int] = {}
        self.base: str | None = None
        self.base_version = 0
        self.horizon = 0

    def saved(self, version: int) -> None:
        if version:
            self.saves[version] = copy.deepcopy(self.state)


class AgentMachine(RuleBasedStateMachine):
    durability: Any = "interval"

    @initialize()
    def begin(self) -> None:
        self.path = tempfile.mkdtemp()
        self.models: dict[str, Model] = {}
        self.agents: dict[str, Agent] = {}
        self.forked = 0
        self.open()
        self.agents["first"], self.models["first"] = self.state.agent("first"), Model()

    def open(self) -> None:
        self.state = sk.open(self.path, durability=self.durability, ring_bytes=64 << 10)

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.state.close()
            shutil.rmtree(self.path)

    def pick(self, seed: int) -> tuple[str, Agent, Model]:
        name = random.Random(seed).choice(sorted(self.agents))
        return name, self.agents[name], self.models[name]

    def saved(self, model: Model, returned: int | None = None) -> None:
        version = self.state.last_version
        if returned is not None:
            assert returned in (0, version)
        if returned != 0:
            model.saved(version)

    # One change, on the agent and on the model. Inside a step the same changes are made, and saved at its end.

    def change(self, agent: Agent, model: Model, what: int, draw: Any) -> int | None:
        state, dice = model.state, random.Random(draw("seed"))
        conversation = state["messages"]
        at = dice.randrange(len(conversation)) if conversation else None
        if what == 0:
            conversation.append(draw("message"))
            return agent.messages.append(draw("message"))
        if what == 1:
            more = [draw("message"), {"role": "user", "content": "more"}]
            conversation.extend(more)
            return agent.messages.extend(more)
        if what == 2 and at is not None:
            conversation[at] = {**conversation[at], "content": "edited", "by": draw("value")}
            return agent.messages.edit(at, content="edited", by=draw("value"))
        if what == 3 and at is not None:
            chosen = slice(at, at + dice.randrange(4), dice.choice([None, 1, 2]))
            some = bool(conversation[chosen])
            del conversation[chosen]
            version = agent.messages.delete(chosen)
            return version if some else 0
        if what == 4 and at is not None:
            # The oldest go, as where a window slides.
            del conversation[: at + 1]
            return agent.messages.delete(slice(0, at + 1))
        if what == 5:
            part = dice.choice(["context", "custom"])
            state[part][draw("name")] = draw("value")
            handle = getattr(agent, part)
            return int(handle.set(draw("name"), draw("value")))
        if what == 6 and draw("name") in state["context"]:
            del state["context"][draw("name")]
            del agent.context[draw("name")]
            return None
        if what == 7:
            state["tools"][draw("name")] = state["tools"].get(draw("name"), 0) + 1
            return agent.tools.record(draw("name"), ms=2)
        if what == 8:
            state["status"] = dice.choice(["processing", "failed"])
            agent.status = state["status"]
            return None
        if what == 9:
            state["metadata"] = {**state["metadata"], "name": draw("value")}
            if draw("value") is None:
                del state["metadata"]["name"]
            return agent.describe(name=draw("value"))
        return 0

    @rule(seed=seeds, what=st.integers(0, 9), name=names, value=values, message=messages)
    def one_change(self, seed: int, what: int, **drawn: Any) -> None:
        _, agent, model = self.pick(seed)
        returned = self.change(agent, model, what, lambda part: seed if part == "seed" else drawn[part])
        self.saved(model, returned)

    @rule(
        seed=seeds,
        changes=st.lists(st.tuples(st.integers(0, 9), names, values, messages, seeds), max_size=5),
        fails=st.booleans(),
        label=st.sampled_from([None, "plan"]),
    )
    def step(self, seed: int, changes: list[Any], fails: bool, label: str | None) -> None:
        _, agent, model = self.pick(seed)
        before = copy.deepcopy(model.state)
        try:
            with agent.step(label) as step:
                for what, name, value, message, other in changes:
                    drawn = {"name": name, "value": value, "message": message, "seed": other}
                    assert not self.change(agent, model, what, drawn.__getitem__)
                    assert shown(agent) == model.state, (shown(agent), model.state, what, drawn)
                    assert len(agent.messages) == len(model.state["messages"])
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            model.state = before
        else:
            assert step.version in (0, self.state.last_version)
            if step.version:
                self.saved(model)
                assert agent.versions(limit=1)[0].label == label

    @rule(seed=seeds, extra=st.lists(messages, max_size=3))
    def save_whole(self, seed: int, extra: list[State]) -> None:
        _, agent, model = self.pick(seed)
        dice = random.Random(seed)
        state = agent.to_dict()
        conversation = state["messages"]
        if conversation:
            keep = dice.randrange(len(conversation))
            where = dice.choice(["front", "behind the first", "tail", "none"])
            if where == "front":
                del conversation[:keep]
            elif where == "behind the first":
                del conversation[1:keep]
            elif where == "tail":
                del conversation[keep:]
            conversation[keep:keep] = extra if dice.random() < 0.3 else []
        conversation.extend(extra)
        before = self.state.last_version
        version = agent.save(state)
        model.state["messages"] = copy.deepcopy(conversation)
        self.saved(model, version)
        assert agent.save(agent.to_dict()) == 0 and self.state.last_version == (version or before)

    @rule(seed=seeds)
    def restore(self, seed: int) -> None:
        _, agent, model = self.pick(seed)
        if model.saves:
            version = random.Random(seed).choice(sorted(model.saves))
            model.state = copy.deepcopy(model.saves[version])
            self.saved(model, agent.restore(version))

    @precondition(lambda self: self.forked < 6)
    @rule(seed=seeds, old=st.booleans())
    def fork(self, seed: int, old: bool) -> None:
        name, agent, model = self.pick(seed)
        if not model.saves:
            with pytest.raises(errors.KeyMissing):
                agent.fork("never")
            return
        version = random.Random(seed).choice(sorted(model.saves)) if old else None
        self.forked += 1
        forked = f"fork {self.forked}"
        self.agents[forked] = agent.fork(forked, version)
        start = model.saves[version] if version else model.state
        seen = {at: state for at, state in model.saves.items() if version is None or at <= version}
        self.models[forked] = Model(start, seen)
        while version is not None and version <= self.models[name].base_version:
            name = self.models[name].base
        self.models[forked].base = name
        self.models[forked].base_version = self.agents[forked]._saver.source.base.version
        self.saved(self.models[forked])
        with pytest.raises(errors.Conflict) as refusal:
            agent.fork(forked)
        assert refusal.value.code == "agent.exists"

    @rule(seed=seeds)
    def detach(self, seed: int) -> None:
        name, agent, model = self.pick(seed)
        if model.base is not None and any(other.base == name for other in self.models.values()):
            with pytest.raises(errors.Conflict):
                agent.detach()
            return
        version = agent.detach()
        assert bool(version) == (model.base is not None)
        if version:
            model.base, model.saves, model.tags, model.horizon, model.base_version = None, {}, {}, 0, 0
            model.saved(version)

    @rule(seed=seeds)
    def delete(self, seed: int) -> None:
        name, agent, model = self.pick(seed)
        builds = [each for each, other in self.models.items() if other.base == name]
        assert sorted(agent.forks) == sorted(builds)
        if builds:
            with pytest.raises(errors.Conflict) as refusal:
                agent.delete()
            assert refusal.value.code == "agent.has_forks"
        else:
            assert agent.delete() == bool(model.saves)
            assert not agent.exists and shown(agent) == empty()
            self.models[name] = Model()

    @rule(seed=seeds, name=st.sampled_from(["one", "two"]))
    def tag(self, seed: int, name: str) -> None:
        _, agent, model = self.pick(seed)
        own = [version for version in model.saves if version > model.base_version]
        if own:
            version = random.Random(seed).choice(sorted(own))
            assert agent.tag(name, version) == version
            model.tags[name] = version
            assert agent.tags == model.tags and shown(agent.at(name)) == model.saves[version]

    @rule(seed=seeds, keep=st.integers(0, 4))
    def prune(self, seed: int, keep: int) -> None:
        _, agent, model = self.pick(seed)
        if not model.saves:
            return
        agent.retention = Retention(keep_last=keep)
        agent.prune()
        own = [version for version in model.saves if version > model.base_version]
        model.horizon = max(model.horizon, sorted(own)[-max(keep, 1) :][0])

    def forget(self) -> None:
        """What no retention, tag or fork keeps is gone, of an agent and of those that build on it."""
        for name, model in self.models.items():  # a base comes before its forks
            pins = {*model.tags.values(), *(each.base_version for each in self.models.values() if each.base == name)}
            for version in sorted(model.saves):
                if model.base is not None and version <= model.base_version:
                    gone = version not in self.models[model.base].saves and version != model.base_version
                else:
                    gone = version < model.horizon and version not in pins
                if gone:
                    with pytest.raises(errors.KeyMissing):
                        self.agents[name].at(version)
                    del model.saves[version]

    @rule()
    def reopen(self) -> None:
        self.state.close()
        self.open()
        self.agents = {name: self.state.agent(name) for name in self.agents}
        saved = sorted(name for name, model in self.models.items() if model.saves)
        assert self.state.list_saved_agents() == saved

    def is_listed(self, model: Model, version: int) -> bool:
        while model.base is not None and version <= model.base_version:
            model = self.models[model.base]
        return version >= model.horizon

    @invariant()
    def is_as_modelled(self) -> None:
        if not hasattr(self, "state"):
            return
        self.forget()
        for name, agent in self.agents.items():
            model = self.models[name]
            assert shown(agent) == model.state
            assert [dict(message) for message in agent.messages] == model.state["messages"]
            versions = [each.version for each in agent.versions()]
            assert versions == sorted(versions, reverse=True)
            # What a pin keeps can be read, though it is in no list.
            assert versions == sorted((at for at in model.saves if self.is_listed(model, at)), reverse=True)
            dice = random.Random(self.state.last_version)
            for version in dice.sample(sorted(model.saves), min(len(model.saves), 3)):
                assert shown(agent.at(version)) == model.saves[version], version


class SyncMachine(AgentMachine):
    durability = "sync"


TestAgents = AgentMachine.TestCase
TestAgents.settings = settings(max_examples=50, stateful_step_count=20)
TestAgentsSync = SyncMachine.TestCase
TestAgentsSync.settings = settings(max_examples=10, stateful_step_count=25)
