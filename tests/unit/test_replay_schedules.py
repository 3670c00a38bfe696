"""Schedules of replays: when they are due, that they run then, once, and what is told of it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import replayed
import spellkeep as sk
from scheduled import Clock, fill, opened, until
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.replay import ReplayManager
from spellkeep.replay.scheduler import Scheduler

SCOUT, REPLAYS = StateScope.agent("scout"), StateScope.custom("spellkeep.replay")
CANARY = "canary-7731"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> Iterator[StateManager]:
    with opened("memory:", clock) as state:
        fill(state)
        yield state


def test_it_runs_at_its_time_and_once(state: StateManager, clock: Clock) -> None:
    state.replay.schedule("later", after_s=60, hook="hook")
    before = state.last_version
    assert state.replay.run_due() == []
    clock.move(59)
    assert state.replay.run_due() == []
    assert state.last_version == before, "looking writes nothing"
    clock.move(1)
    (run,) = state.replay.run_due()
    assert (run.result, run.counts, run.score, run.number) == ("same", {"same": 2}, 1.0, 0)
    assert (run.due_at, run.began_at, run.missed_count) == (clock.now, clock.now, 0)
    clock.move(10**6)
    assert state.replay.run_due() == []
    (shown,) = state.replay.schedules()
    assert (shown.next_at, shown.running_since, shown.run_count) == (None, None, 1)
    assert state.replay.runs("later") == [run]
    written = {change.scope for change in state.changes(since=before)}
    assert written == {REPLAYS}, "nothing but what is told of it is written"


def test_a_clock_that_is_set_back_runs_nothing_twice(state: StateManager, clock: Clock) -> None:
    state.replay.schedule("often", every_s=60, hook="hook")
    state.replay.schedule("nightly", cron="0 0 * * *", hook="hook")
    clock.move(12 * 3600)
    assert [run.schedule for run in state.replay.run_due()] == ["often", "nightly"]
    clock.move(-3 * 3600)
    assert state.replay.run_due() == []
    clock.move(3 * 3600)
    assert state.replay.run_due() == []
    clock.move(60)
    assert [run.schedule for run in state.replay.run_due()] == ["often"]


def test_what_was_missed_while_it_was_closed_is_one_run_and_it_says_so(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path / "s", clock) as state:
        fill(state)
        state.replay.schedule("often", every_s=60, hook="hook")
        state.replay.schedule("once", at=clock.now + timedelta(seconds=5), hook="hook")
    clock.move(605)
    with opened(tmp_path / "s", clock) as state:
        state.hooks.before("set", name="hook")(replayed.steady)
        once, often = state.replay.run_due()
        assert (once.schedule, once.result, once.missed_count) == ("once", "same", 0)
        assert once.began_at - once.due_at == timedelta(seconds=600)
        assert (often.result, often.missed_count) == ("same", 9)
        assert "instead of 9 more that were missed" in str(often)
        assert state.replay.run_due() == []
        assert state.replay.schedules()[0].next_at == clock.now + timedelta(seconds=55)


def test_the_thread_runs_it_after_a_restart_once_its_hook_is_there(tmp_path: Path, clock: Clock) -> None:
    with opened(tmp_path / "s", clock) as state:
        fill(state)
        state.replay.schedule("often", every_s=60, hook="hook")
    clock.move(600)
    with opened(tmp_path / "s", clock, Scheduler) as state:
        state.replay._scheduler().begin()
        state.hooks.before("set", name="another")(lambda context: None)
        until(lambda: state.replay.schedules()[0].waits_for == ("hook",))
        assert state.replay.runs("often") == []
        state.hooks.before("set", name="hook")(replayed.steady)
        (run,) = until(lambda: state.replay.runs("often"))
        assert (run.result, run.missed_count) == ("same", 9)
        assert state.replay.schedules()[0].waits_for == ()
        # By itself it goes on.
        clock.move(60)
        state.replay._scheduler().wake()
        assert until(lambda: len(state.replay.runs("often")) == 2)


def test_a_store_runs_what_is_due_with_the_clock_of_the_system(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        fill(state)
        state.replay.schedule("now", after_s=0, hook="hook")
        assert state.replay._scheduler()._thread is None, "without permission nothing waits"
        with pytest.raises(errors.AccessDenied):
            state.replay.run_due()
    with sk.open(tmp_path / "s", allow_replay=True, read_only=True) as state:
        assert [each.name for each in state.replay.schedules()] == ["now"]
        assert "_scheduler" not in vars(state) or state.replay._scheduler()._thread is None
        with pytest.raises(errors.ReadOnly):
            state.replay.run_due()
        with pytest.raises(errors.ReadOnly):
            state.replay.schedule("more", after_s=0)
    with sk.open(tmp_path / "s", allow_replay=True) as state:
        state.hooks.before("set", name="hook")(replayed.steady)
        (run,) = until(lambda: state.replay.runs("now"))
        assert run.result == "same"
        # With nothing to come there is no thread.
        until(lambda: state.replay._scheduler()._thread is None)
        state.replay.schedule("again", after_s=0, hook="hook")
        until(lambda: state.replay.runs("again"))
    with sk.open(tmp_path / "s", allow_replay=True) as state:
        until(lambda: state.replay._scheduler()._thread is None)


def test_a_store_that_nobody_has_any_more_is_not_kept_by_its_schedules(clock: Clock) -> None:
    state = opened("memory:", clock, Scheduler)
    state.replay.schedule("later", every_s=60)
    scheduler, gone = state.replay._scheduler(), weakref.ref(state)
    thread = scheduler._thread
    assert thread is not None
    del state
    until(lambda: gc.collect() is not None and gone() is None)
    scheduler.wake()
    thread.join(30)
    assert not thread.is_alive()


def test_two_runs_of_one_schedule_never_overlap(state: StateManager, clock: Clock) -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def waiting(context: Any) -> None:
        inside.release()
        assert go.wait(30)

    state.replay.schedule("slow", every_s=60, hook="hook")
    clock.move(60)
    done = list[Any]()
    thread = threading.Thread(target=lambda: done.extend(state.replay.run_due(waiting)))
    thread.start()
    assert inside.acquire(timeout=30)
    clock.move(60)
    assert state.replay.schedules()[0].running_since is not None
    assert state.replay.run_due(waiting) == []
    go.set()
    thread.join()
    assert [run.result for run in done] == ["same"]
    (second,) = state.replay.run_due()
    assert (second.number, second.missed_count) == (1, 0)


def test_a_failing_run_is_told_and_the_next_goes_on(
    state: StateManager, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.replay.schedule("a", every_s=60, hook="hook")
    state.replay.schedule("b", every_s=60, hook="hook")
    real = ReplayManager.start

    def broken(*args: Any, **how: Any) -> Any:
        monkeypatch.setattr(ReplayManager, "start", real)
        raise ArithmeticError(CANARY)

    monkeypatch.setattr(ReplayManager, "start", broken)
    clock.move(60)
    first, second = state.replay.run_due()
    assert (first.result, first.error, second.result) == ("failed", "ArithmeticError", "same")
    clock.move(60)
    assert [run.result for run in state.replay.run_due()] == ["same", "same"]
    clock.move(60)
    failed = state.replay.run_due("nowhere:hook", isolate=True)
    assert [run.result for run in failed] == ["failed"] * 2
    assert (failed[0].error or "").startswith("replay.hook: nowhere:hook cannot be run")
    assert not failed[0].ok
    # The thread survives that, too.
    monkeypatch.setattr(ReplayManager, "start", broken)
    clock.move(60)
    thread = Scheduler(state, clock)
    state.__dict__["_scheduler"] = thread
    thread.begin()
    until(lambda: state.replay.runs("a")[0].result == "failed" and state.replay.runs("b")[0].result == "same")


def test_what_is_not_as_it_was_recorded_is_told_without_secrets(state: StateManager, clock: Clock) -> None:
    state.replay.schedule("check", after_s=0, hook="hook")
    (run,) = state.replay.run_due(lambda context: HookResult.modify({"password": CANARY}))
    assert (run.result, run.counts) == ("different", {"different": 2})
    assert "outcome: 'proceeded' -> 'modified'" in (run.first_divergence or "")
    assert CANARY not in repr([*state.items(REPLAYS)])


def test_closing_ends_a_run_at_once_and_says_so(tmp_path: Path, clock: Clock) -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def hanging(context: Any) -> None:
        if threading.current_thread().name.startswith("spellkeep-replay"):
            inside.release()
            go.wait(60)

    state = opened(tmp_path / "s", clock, Scheduler)
    fill(state, hanging)
    state.replay.schedule("often", every_s=60, hook="hook")
    clock.move(60)
    state.replay._scheduler().wake()
    assert inside.acquire(timeout=30)
    thread = state.replay._scheduler()._thread
    begun = time.monotonic()
    state.close()
    # It is the hook that takes a minute.
    assert time.monotonic() - begun < 20
    assert thread is not None
    assert not thread.is_alive()
    go.set()
    with sk.open(tmp_path / "s", read_only=True) as state:
        (run,) = state.replay.runs("often")
        assert (run.result, run.counts) == ("cancelled", {"cancelled": 2})
        (shown,) = state.replay.schedules()
        assert (shown.running_since, shown.next_at) == (None, clock.now + timedelta(seconds=60))


def test_a_run_that_takes_its_process_with_it_is_told_and_not_run_again(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "s"
    with sk.open(path) as state:
        fill(state)
        state.replay.schedule("bad", after_s=0, hook="hook")
        state.replay.schedule("more", every_s=86_400, hook="hook")
    source = (
        "import os, sys, spellkeep as sk\n"
        "state = sk.open(sys.argv[1], allow_replay=True)\n"
        "state.replay.run_due(lambda context: os._exit(9))\n"
    )
    done = subprocess.run([sys.executable, "-c", source, str(path)], env={**os.environ}, timeout=300)
    assert done.returncode == 9
    clock.now = datetime.now(UTC)
    with opened(path, clock) as state:
        (shown,) = [each for each in state.replay.schedules() if each.name == "bad"]
        assert shown.running_since is not None
        assert state.replay.run_due(replayed.steady) == []
        (run,) = state.replay.runs("bad")
        assert (run.result, run.number, run.counts) == ("interrupted", 0, {})
        assert state.replay.run_due(replayed.steady) == []
        assert len(state.replay.runs("bad")) == 1


def test_cancel_ends_what_runs_and_removes_what_is_kept(state: StateManager, clock: Clock) -> None:
    inside, go = threading.Semaphore(0), threading.Event()

    def waiting(context: Any) -> None:
        inside.release()
        go.wait(30)

    state.replay.schedule("slow", every_s=60, hook="hook")
    clock.move(60)
    done = list[Any]()
    thread = threading.Thread(target=lambda: done.extend(state.replay.run_due(waiting)))
    thread.start()
    assert inside.acquire(timeout=30)
    state.replay.cancel("slow")
    # One of the same name is another: it does not get the result of the first.
    state.replay.schedule("slow", every_s=30, hook="hook")
    thread.join(25)
    go.set()
    assert not thread.is_alive()
    assert [run.result for run in done] == ["cancelled"]
    assert state.replay.runs("slow") == []
    state.replay.cancel("slow")
    assert [*state.items(REPLAYS)] == []
    with pytest.raises(errors.KeyMissing) as caught:
        state.replay.cancel("slow")
    assert caught.value.code == "replay.missing"


def test_a_run_that_takes_too_long_is_cancelled(state: StateManager) -> None:
    go = threading.Event()
    state.replay.schedule("slow", after_s=0, hook="hook", timeout_s=0.01)
    (run,) = state.replay.run_due(lambda context: go.wait(30) and None)
    go.set()
    assert (run.result, run.counts) == ("timed out", {"cancelled": 2})


def test_the_last_results_are_kept_and_so_many_schedules(state: StateManager, clock: Clock) -> None:
    state.replay.schedule("often", every_s=1, hook="hook", limit=0)
    for _ in range(25):
        clock.move(1)
        assert len(state.replay.run_due()) == 1
    assert [run.number for run in state.replay.runs("often")] == list(range(24, 4, -1))
    assert [run.number for run in state.replay.runs("often", limit=2)] == [24, 23]
    for number in range(99):
        state.replay.schedule(f"s{number}", every_s=1)
    with pytest.raises(errors.LimitExceeded) as caught:
        state.replay.schedule("more", every_s=1)
    assert caught.value.code == "replay.count"
    state.replay.schedule("often", every_s=2, hook="hook", limit=0)


def test_asked_for_again_it_goes_on_and_asked_otherwise_it_is_replaced(state: StateManager, clock: Clock) -> None:
    def ask(**how: Any) -> Any:
        asked = {"after_s": 60, "mode": "what_if", "parameters": {("value", "n"): 5}, "scope": SCOUT, "ids": ["x/0/0"]}
        return state.replay.schedule("a", **asked | how)

    first = ask()
    clock.move(30)
    before = state.last_version
    assert ask() == first
    assert state.last_version == before
    clock.move(30)
    assert len(state.replay.run_due()) == 1
    assert ask().next_at is None, "it has been"
    second = ask(after_s=61)
    assert second.next_at == clock.now + timedelta(seconds=61)
    assert (second.run_count, len(state.replay.runs("a"))) == (1, 1)
    assert state.replay.schedules() == [second]


def test_every_mode_can_be_scheduled(state: StateManager) -> None:
    state.replay.schedule("v", after_s=0, hook="hook", result="proceeded", ignore=["error"])
    state.replay.schedule("w", after_s=0, hook="hook", mode="what_if", parameters={"value.n": 5}, limit=1)
    state.replay.schedule("x", after_s=0, mode="substitute", hooks=["hook"])
    state.replay.schedule("y", after_s=0, mode="simulate")
    found = {run.schedule: (run.result, run.counts) for run in state.replay.run_due()}
    assert found == {
        "v": ("same", {"same": 2}),
        "w": ("different", {"different": 1}),
        "x": ("same", {"same": 2}),
        "y": ("same", {"would run": 2}),
    }


def test_hooks_can_be_given_by_their_place(state: StateManager, clock: Clock) -> None:
    state.hooks.unregister("hook")
    state.replay.schedule("v", every_s=60, hook="hook")
    state.replay.schedule("w", every_s=60, hook="hook", mode="what_if", parameters={"value.n": 5})
    state.replay.schedule("x", every_s=60, mode="substitute", hooks=["hook"])
    clock.move(60)
    assert state.replay.run_due() == []
    assert {each.waits_for for each in state.replay.schedules()} == {("hook",)}
    assert state.replay.run_due({"other": "replayed:steady"}, isolate=True) == []
    found = state.replay.run_due({"hook": "replayed:steady"}, isolate=True)
    assert [(run.result, run.counts) for run in found] == [
        ("same", {"same": 2}),
        ("different", {"different": 2}),
        ("same", {"same": 2}),
    ]
    clock.move(60)
    assert [run.result for run in state.replay.run_due("replayed:steady", isolate=True)] == [
        "same",
        "different",
        "same",
    ]


def test_a_run_that_found_nothing_to_run_is_no_success(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", allow_replay=True) as state:
        state.hooks.before("set", name="look", key="login/password")(lambda context: HookResult.cancel("no"))
        with pytest.raises(sk.errors.HookVeto):
            state.set(StateScope.GLOBAL, "login/password", "seven horses")
        assert state.hooks.drain(60)
    # Where no hook is registered nothing runs by itself.
    with sk.open(tmp_path / "s", allow_replay=True) as state:
        for name, hook in (("redacted", "look"), ("typo", "lok")):
            state.replay.schedule(name, after_s=0, hook=hook)
            (run,) = state.replay.run_due(lambda context: None)
            assert (run.result, run.ok, run.counts.get("same")) == ("nothing", False, None), run
