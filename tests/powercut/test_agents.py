"""The check of agents after a cut: what a cut must not leave is planted, and must be reported as what it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import spellkeep
from crash.model import TORN, WRONG
from powercut.agents import _message, _saves, complaints, save
from spellkeep.agent import Agent


def _half_a_step(agent: Agent) -> None:
    # The third save is a step of three messages.
    for number in (2, 3):
        agent.messages.append(_message(agent.id, number))


def _another_order(agent: Agent) -> None:
    agent.messages.append(_message(agent.id, 3))


def _a_step_without_its_variable(agent: Agent) -> None:
    save(agent, 3)
    del agent.context["saves"]


@pytest.mark.parametrize(
    ("plant", "kind"), [(_half_a_step, TORN), (_another_order, WRONG), (_a_step_without_its_variable, TORN)]
)
def test_what_no_cut_may_leave_is_reported(plant: Callable[[Agent], None], kind: str) -> None:
    with spellkeep.open("memory:") as state:
        agent = state.agent("t0")
        for number in (1, 2):
            save(agent, number)
        plant(agent)
        assert kind in [found for found, _ in complaints(agent, _saves(len(agent.messages)))]


def test_any_number_of_saves_is_told_from_the_messages_and_is_right() -> None:
    with spellkeep.open("memory:") as state:
        agent = state.agent("t0")
        for number in range(20):
            assert _saves(len(agent.messages)) == number
            assert complaints(agent, number) == []
            save(agent, number + 1)
