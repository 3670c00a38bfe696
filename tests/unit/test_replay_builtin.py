"""Builtin hooks: what 1,000 executions of each did is what they do in two other processes."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest

import replayed_builtin
import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

COUNT = 1_000
NAMES = (
    *("CacheInvalidation", "Caching", "CostTracking", "Debugging", "Logging", "Metrics", "Retry", "Security"),
    "Validation",
)


def write(state: StateManager) -> None:
    for number in range(COUNT):
        value: dict[str, Any] = {"provider": "p", "model": "m", "input_tokens": number, "output_tokens": 1, "n": number}
        if number % 10 == 0:
            value["note"] = "x" * (number % 100)
        if number % 25 == 0:
            value["text"] = "sk-live-" + "a1" * 12
        with suppress(errors.HookVeto):
            state.set(StateScope.agent(f"a{number % 5}"), f"k{number % 50}", value)


@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_executions_are_the_same_elsewhere(name: str) -> None:
    with sk.open("memory:", allow_replay=True) as state:
        state.hooks.register(replayed_builtin.make(name), name="hook", attempts_max=2)
        write(state)
        assert state.hooks.drain(60)
        found = state.replay.select(hook="hook", limit=10 * COUNT)
        assert len(found) >= COUNT
        before = state.last_version
        place = "replayed_builtin:" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        report = state.replay.verify(found, hook=place, isolate=True)
        assert state.last_version == before
        redacted = [item for item in report if item.status == "redacted"]
        assert report.counts.get("same", 0) + len(redacted) == len(found), report
        # What was changed or refused and held a secret was written down without it; nothing else is missing.
        assert len(redacted) == {"Security": 40, "Validation": 10}.get(name, 0)
        if name == "Retry":
            assert {"retry", "skipped", "proceeded"} == {each.result for each in found}
        if name == "Validation":
            assert {"cancelled", "proceeded"} == {each.result for each in found}


def test_what_the_audit_hook_writes_stays_in_the_sandbox() -> None:
    with sk.open("memory:", allow_replay=True) as state:
        state.hooks.after("set", name="hook")(lambda change: None)
        state.set(StateScope.GLOBAL, "a", 1)
        assert state.hooks.drain(10)
        before = state.last_version
        (item,) = state.replay.what_if(state.replay.select(hook="hook"), {}, hook=replayed_builtin.audit)
        assert item.answer is not None
        assert [write[:2] for write in item.answer.writes] == [("set", "custom:spellkeep.audit")]
        assert state.last_version == before
