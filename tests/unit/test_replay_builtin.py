"""Builtin hooks: what 1,000 executions of each did is what they do in two other processes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

import replayed_builtin
import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks import builtin

COUNT = 1_000
OUTCOMES = {
    "RateLimit": {"retry", "proceeded"},
    "Retry": {"retry", "skipped", "proceeded"},
    "Security": {"modified", "proceeded"},
    "Validation": {"cancelled", "proceeded"},
}


def write(state: StateManager, **more: Any) -> None:
    for number in range(COUNT):
        value: dict[str, Any] = {"provider": "p", "model": "m", "input_tokens": number, "output_tokens": 1, "n": number}
        if number % 10 == 0:
            value["note"] = "x" * (number % 100)
        if number % 25 == 0:
            value |= more
        with suppress(errors.HookVeto):
            state.set(StateScope.agent(f"a{number % 5}"), f"k{number % 50}", value)


def test_all_of_them_are_here() -> None:
    assert sorted(replayed_builtin.MAKERS) == sorted(builtin.__all__)


@pytest.mark.parametrize("name", builtin.__all__)
def test_a_thousand_executions_are_the_same_elsewhere(name: str) -> None:
    with sk.open("memory:", allow_replay=True) as state:
        state.hooks.register(replayed_builtin.MAKERS[name](), name="hook", attempts_max=2)
        write(state, badge="17")
        assert state.hooks.drain(60)
        found = state.replay.select(hook="hook", limit=10 * COUNT)
        assert len(found) >= COUNT
        before = state.last_version
        # Twice, in processes with other hash seeds, environments and clocks.
        report = state.replay.verify(found, hook=replayed_builtin.place(name), isolate=True)
        assert state.last_version == before
        assert report.counts == {"same": len(found)}, report
        assert {each.result for each in found} == OUTCOMES.get(name, {"proceeded"})


def test_what_was_written_down_without_its_secrets_is_not_taken_for_it() -> None:
    with sk.open("memory:", allow_replay=True) as state:
        state.hooks.register(builtin.Security(), name="hook")
        write(state, text="sk-live-" + "a1" * 12)
        assert state.hooks.drain(60)
        found = state.replay.select(hook="hook", limit=10 * COUNT)
        report = state.replay.verify(found, hook="replayed_builtin:secrets", isolate=True)
        assert report.counts == {"same": COUNT - 40, "redacted": 40}, report
