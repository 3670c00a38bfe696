"""Agents whose power goes: a prefix of their saves is there, in order, each step whole, and all that had to stay.

``python -m powercut.agents SETTINGS`` is the process that saves them. Each of its threads has an agent of its own, and
goes on with it where the last one was cut: a message at a time, and as each third save a step of three messages and a
variable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import spellkeep
from crash.harness import RING_BYTES, SEGMENT_BYTES
from crash.model import LOST, TORN, WRONG, Model
from crash.ops import Op
from powercut.harness import Run
from powercut.life import Lives
from powercut.promise import must_stay
from powercut.said import Told
from powercut.writer import Writer, main
from spellkeep.agent import Agent

_STEP_EVERY, _STEP_MESSAGES = 3, 3


def _length(saves: int) -> int:
    """How many messages so many saves leave."""
    return saves + saves // _STEP_EVERY * (_STEP_MESSAGES - 1)


def _saves(length: int) -> int:
    """How many saves it took to come to so many messages."""
    rounds, rest = divmod(length, _length(_STEP_EVERY))
    return rounds * _STEP_EVERY + min(rest, _STEP_EVERY - 1)


def _message(agent_id: str, number: int) -> dict[str, Any]:
    text = f"{agent_id}/{number} " * (1 + number * 37 % 40)
    return {"role": ("user", "assistant")[number % 2], "content": text}


def save(agent: Agent, number: int) -> int:
    """Make its save of this number, the first is 1. Returns: the number."""
    first = _length(number - 1)
    if number % _STEP_EVERY:
        agent.messages.append(_message(agent.id, first))
        return number
    with agent.step():
        for place in range(first, first + _STEP_MESSAGES):
            agent.messages.append(_message(agent.id, place))
        agent.context["saves"] = number
    return number


def complaints(agent: Agent, saves: int) -> list[tuple[str, str]]:
    """What is not as so many saves leave it, with the kind of each finding."""
    found = []
    messages = [dict(message.data) for message in agent.messages]
    if len(messages) != _length(saves):
        found.append((TORN, f"{agent.id}: {len(messages)} messages, half of a step"))
    if messages != [_message(agent.id, number) for number in range(len(messages))]:
        found.append((WRONG, f"{agent.id}: the messages are not those that were saved, in their order"))
    if agent.context.get("saves", 0) != saves // _STEP_EVERY * _STEP_EVERY:
        found.append((TORN, f"{agent.id}: after {saves} saves the variable is of {agent.context.get('saves', 0)}"))
    if len(versions := agent.versions()) != saves:
        found.append((TORN, f"{agent.id}: {len(versions)} versions of {saves} saves"))
    return found


@dataclass
class AgentRun(Run):
    """As a run, with agents. `_known`: how many saves each had when the store was last looked at."""

    _lives: Lives = field(default_factory=lambda: Lives("powercut.agents"))
    _known: dict[tuple[Path, int], int] = field(default_factory=dict)

    def _check(self, store: Path, model: Model, told: Told, cut_ns: int) -> None:
        try:
            with spellkeep.open(
                store, ring_bytes=RING_BYTES, segment_bytes=SEGMENT_BYTES, keep_log_bytes=None
            ) as state:
                self.counts["cut tails"] += state.recovery.cut_reason is not None
                for number in range(2 * self.threads):
                    self._check_one(state.agent(f"t{number}"), (store, number), told, cut_ns)
        except spellkeep.errors.StateError as failure:
            self._find(WRONG, f"the store does not open after the cut: {failure!r}")

    def _check_one(self, agent: Agent, place: tuple[Path, int], told: Told, cut_ns: int) -> None:
        events, before = told.threads.get(place[1], []), self._known.get(place, 0)
        acknowledged = [said for said in events if said.acknowledged]
        saves = _saves(len(agent.messages))
        for kind, what in complaints(agent, saves):
            self._find(kind, what)
        least = max([before, *(said.result for said in acknowledged if must_stay(said, cut_ns, self._allowed_ms))])
        if saves < least:
            self._find(LOST, f"{agent.id}: save {least} was acknowledged, {saves} are there")
        if saves > before + len(events):
            self._find(WRONG, f"{agent.id}: {saves} saves are there, {before + len(events)} were begun")
        gone = [said for said in acknowledged if said.result > saves and said.at_ns < cut_ns]
        self.ages_ms += [(cut_ns - said.at_ns) / 1e6 for said in gone]
        self.counts["gone"] += len(gone)
        self.counts["acknowledged"] += len(acknowledged)
        self.counts["uncertain"] += len(events) - len(acknowledged)
        self._known[place] = saves


class _Saving(Writer):
    def run(self) -> None:
        """Save until the power goes."""
        agent = self.state.agent(f"t{self.number}")
        number = _saves(len(agent.messages)) + 1
        while self._do(Op("save", scope=agent.id), partial(save, agent, number)):
            number += 1


if __name__ == "__main__":
    main(_Saving)
