"""What a deterministic hook did is what it does in another process with another hash seed, clock and environment."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import replayed
import spellkeep as sk
from spellkeep import StateScope, errors

COUNT = 200


@settings(max_examples=3, deadline=None)
@given(numbers=st.lists(st.integers(1, 10**6), min_size=COUNT, max_size=COUNT))
def test_two_hundred_executions_have_the_same_digests_elsewhere(numbers: list[int]) -> None:
    with sk.open("memory:", allow_replay=True) as state:
        state.hooks.before("set", name="steady")(replayed.steady)
        for index, number in enumerate(numbers):
            with suppress(errors.HookVeto):
                state.set(StateScope.agent(f"a{index % 7}"), "key", {"n": number})
        assert state.hooks.drain(60)
        found = state.replay.select(hook="steady")
        assert len(found) == COUNT
        before = state.last_version
        report = state.replay.verify(found, hook="replayed:steady", isolate=True)
        assert report.counts == {"same": COUNT}, report
        assert state.last_version == before
        modified: list[Any] = [item for item in report if item.execution.result == "modified"]
        assert all(item.answer.digest == item.execution.answered for item in modified)
