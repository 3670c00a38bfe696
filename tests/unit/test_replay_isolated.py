"""Replay in other processes: what is deterministic is the same there, and what is not is named."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import replayed
import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    with sk.open(tmp_path / "s", allow_replay=True) as opened:
        yield opened


def try_set(state: StateManager, key: str, value: Any) -> None:
    with suppress(errors.HookVeto):
        state.set(SCOUT, key, value)


def test_reads_are_answered_by_the_process_that_has_the_store(state: StateManager) -> None:
    state.hooks.before("set", name="reading", scope="agent:*")(replayed.reading)
    state.set(GLOBAL, "limit", 5)
    for value in (1, 4, 9, 3):
        try_set(state, "a", value)
    state.set(GLOBAL, "limit", 0)
    assert state.hooks.drain(60)
    before = state.last_version
    report = state.replay.verify(state.replay.select(), hook="replayed:reading", isolate=True)
    assert report.counts == {"same": 4}, report
    assert state.last_version == before


@pytest.mark.parametrize(
    ("hook", "causes"),
    [
        ("by_time", ("time",)),
        ("by_day", ("time",)),
        ("by_chance", ("random",)),
        ("by_environment", ("environment",)),
        ("by_order", ("set order",)),
        ("by_two", ("time", "set order")),
        ("by_address", ("other",)),
    ],
)
def test_what_answers_depend_on_is_named(state: StateManager, hook: str, causes: tuple[str, ...]) -> None:
    state.hooks.before("set", name="hook")(getattr(replayed, hook))
    for number in range(3):
        try_set(state, "a", number)
    assert state.hooks.drain(60)
    before = state.last_version
    report = state.replay.verify(state.replay.select(), hook=f"replayed:{hook}", isolate=True)
    assert report.counts == {"nondeterministic": 3}, report
    assert [item.depends_on for item in report] == [causes] * 3
    assert f"depends on {', '.join(causes)}" in str(report)
    assert state.last_version == before


def test_another_code_is_different_and_depends_on_nothing(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", {"n": 5})
    assert state.hooks.drain(60)
    (item,) = state.replay.verify(state.replay.select(), hook="replayed:steady", isolate=True)
    assert (item.status, item.depends_on) == ("different", ())


def test_after_hooks_and_classes_run_there_too(state: StateManager) -> None:
    state.hooks.after("set", name="after", attempts_max=1)(replayed.after)
    state.hooks.register(replayed.Small())
    for number in range(5):
        state.set(SCOUT, "a", number)
    try_set(state, "a", "x" * 100)
    assert state.hooks.drain(60)
    named = {"after": "replayed:after", "Small": "replayed:Small"}
    report = state.replay.verify(state.replay.select(), hook=named, isolate=True, concurrency=2)
    assert report.counts == {"same": 11}, report
    assert "failed" in {item.execution.result for item in report}


def test_what_writes_there_reaches_nothing(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    before = state.last_version
    (item,) = state.replay.verify(state.replay.select(), hook="replayed:writing", isolate=True)
    assert (item.status, state.last_version) == ("writes", before)


def test_a_hook_that_ends_its_process_takes_no_other_execution_with_it(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    for number in range(3):
        state.set(SCOUT, "a", number)
    assert state.hooks.drain(60)
    report = state.replay.verify(state.replay.select(), hook="replayed:dying", isolate=True)
    assert [item.status for item in report] == ["same", "error", "same"]


def test_cancel_ends_the_other_processes(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    job = state.replay.start("verify", state.replay.select(), hook="replayed:hanging", isolate=True)
    until = time.monotonic() + 60
    while not job._started and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    begun = time.monotonic()
    job.cancel()
    assert job.wait(30).counts == {"cancelled": 1}
    for thread in threading.enumerate():
        if thread.name.startswith("spellkeep-replay"):
            thread.join(30)
    # It is the hook that takes a minute.
    assert time.monotonic() - begun < 30
    for process in job._started:
        assert process.poll() is not None, "a process is left"  # type: ignore[attr-defined]


@pytest.mark.parametrize("hook", ["no_such_module:x", "replayed:no_such_name", "replayed:WORDS"])
def test_what_cannot_be_imported_is_an_error(state: StateManager, hook: str) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    with pytest.raises(errors.StateError) as caught:
        state.replay.verify(state.replay.select(), hook=hook, isolate=True)
    assert caught.value.code == "replay.hook"
    for wrong in (None, "replayed", replayed.steady):
        with pytest.raises(ValueError, match="module:attribute"):
            state.replay.verify(state.replay.select(), hook=wrong, isolate=True)


def test_the_environment_and_the_clock_of_this_process_stay(state: StateManager) -> None:
    before, now = dict(os.environ), time.time()
    state.hooks.before("set", name="hook")(replayed.by_time)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    state.replay.verify(state.replay.select(), hook="replayed:by_time", isolate=True)
    assert (dict(os.environ), abs(time.time() - now) < 60) == (before, True)
