"""Replay in this process: what is selected, what hooks are given again, and that nothing is written."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import replayed
import spellkeep as sk
from spellkeep import Change, StateClass, StateManager, StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.replay import ReplayReport
from spellkeep.replay.reading import Reader

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:", allow_replay=True) as opened:
        yield opened


def try_set(state: StateManager, key: str, value: Any, **how: Any) -> None:
    with suppress(errors.HookVeto):
        state.set(SCOUT, key, value, **how)


def statuses(report: ReplayReport) -> list[str]:
    return [item.status for item in report]


def test_every_outcome_of_a_before_hook_comes_out_again(state: StateManager) -> None:
    state.hooks.before("set", name="steady")(replayed.steady)
    for number in range(1, 12):
        try_set(state, "a", {"n": number})
    try_set(state, "trusted", {"n": 3}, state_class=StateClass.TRUSTED)
    assert state.hooks.drain(60)
    found = state.replay.select(hook="steady")
    before = state.last_version
    report = state.replay.verify(found)
    assert len(found) == 12
    assert {each.result for each in found} == {"proceeded", "modified", "cancelled", "skipped", "failed"}
    assert report.counts == {"same": 12}, report
    assert (report.score, report.first_divergence) == (1.0, None)
    assert state.last_version == before
    (stats,) = state.hooks.stats()
    assert stats.count == 12, "a replay is no execution"


def test_another_answer_is_shown_with_what_was_stored(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda c: HookResult.modify({"n": c.value, "at": 1, "list": [1, 2]}))
    state.set(SCOUT, "a", 5)
    found = state.replay.select(hook="hook")
    other = {"n": 5, "at": 2, "list": [1, 3]}
    report = state.replay.verify(found, hook=lambda c: HookResult.modify(other))
    assert statuses(report) == ["different"]
    assert [str(each) for each in report[0].differences] == ["value.at: 1 -> 2", "value.list.1: 2 -> 3"]
    assert report[0].score == pytest.approx(4 / 6)
    assert report.first_divergence is report[0]
    ignoring = state.replay.verify(found, hook=lambda c: HookResult.modify(other), ignore=["value.at", "value.list.*"])
    assert statuses(ignoring) == ["same"]
    refused = state.replay.verify(found, hook=lambda c: HookResult.cancel("no"))
    assert "outcome: 'modified' -> 'cancelled'" in str(refused)


def test_a_hook_sees_the_store_as_it_was(state: StateManager) -> None:
    state.hooks.before("set", name="reading", scope="agent:*")(replayed.reading)
    state.set(GLOBAL, "limit", 5)
    for key, value in (("a", 1), ("a", 4), ("b", 9), ("a", 3)):
        try_set(state, key, value)
    state.set(GLOBAL, "limit", 10)
    try_set(state, "b", 9)
    state.delete(GLOBAL, "limit")
    state.clear_scope(SCOUT)
    state.set(GLOBAL, "limit", 1000)
    assert state.hooks.drain(60)
    report = state.replay.verify(state.replay.select(hook="reading"))
    assert report.counts == {"same": 5}, report
    assert sorted(item.execution.error or "" for item in report) == ["", "", "", "above 5 with 1 keys at 0", "below 4"]


def test_what_expired_by_then_is_gone_and_what_expired_since_is_there(state: StateManager) -> None:
    seen = list[Any]()
    state.hooks.before("set", name="look", key="look")(lambda c: seen.append(c.state.get(SCOUT, "short")))
    state.set(SCOUT, "short", 1, ttl_s=0.2)
    state.set(SCOUT, "look", 1)
    time.sleep(0.5)
    state.set(SCOUT, "look", 2)
    assert state.hooks.drain(60)
    assert seen == [1, None]
    state.replay.verify(state.replay.select(hook="look"))
    assert seen == [1, None, 1, None]


def test_a_value_is_there_until_its_time_is_over(state: StateManager) -> None:
    version = state.set(SCOUT, "short", 1, ttl_s=60)
    (change,) = state.history(SCOUT, "short")
    assert change.expires_at is not None
    for late_s, there in ((-1, True), (0, False), (1, False)):
        reader = Reader(state, version, change.expires_at + timedelta(seconds=late_s))
        assert (reader.found(SCOUT, "short") is not None, reader.keys(SCOUT)) == (there, ["short"] * there)


def test_batches_deletes_and_clears_are_given_again(state: StateManager) -> None:
    seen = list[Any]()

    @state.hooks.before("set", "delete", "clear", "batch")
    def look(context: Any) -> None:
        inside = [(each.operation, each.key, each.value) for each in context.operations or ()]
        seen.append((context.operation, str(context.scope), context.key, context.value, context.old_value, inside))

    state.set(SCOUT, "a", 1)
    with state.batch() as batch:
        batch.set(SCOUT, "b", 2)
        batch.set(SCOUT, "a", 3)
    state.delete(SCOUT, "a")
    state.clear_scope(SCOUT)
    assert state.hooks.drain(60)
    live, seen = sorted(map(repr, seen)), []
    report = state.replay.verify(state.replay.select(hook="look"))
    assert report.counts == {"same": 6}, report
    assert sorted(map(repr, seen)) == live


def test_after_hooks_are_given_the_change_itself(state: StateManager) -> None:
    seen = list[Change]()

    @state.hooks.after("set", "delete", "event", attempts_max=2)
    def look(change: Change) -> None:
        seen.append(change)
        replayed.after(change)

    with sk.correlate("req-1", actor="anna"):
        for value in (1, 2, 3):
            state.set(SCOUT, "a", value)
    state.events.emit("done", {"x": 1})
    state.delete(SCOUT, "a")
    assert state.hooks.drain(60)
    live, seen = list(seen), []
    report = state.replay.verify(state.replay.select(hook="look"))
    assert statuses(report) == ["same"] * 6
    assert seen == live
    assert [change.actor for change in seen] == ["anna"] * 4 + [None] * 2


def test_async_hooks_and_hooks_that_take_the_state(state: StateManager) -> None:
    state.hooks.after("set", name="look")(lambda change: None)
    state.set(SCOUT, "a", 1)
    state.set(SCOUT, "a", 2)
    assert state.hooks.drain(60)
    seen = list[Any]()

    async def look(change: Change, state: Any) -> HookResult:
        await asyncio.sleep(0)
        seen.append((change.value, state.get(SCOUT, "a"), dict(state.scope(SCOUT))))
        return HookResult.skip()

    report = state.replay.verify(state.replay.select(hook="look"), hook=look)
    assert [str(each) for each in report[0].differences] == ["outcome: 'proceeded' -> 'skipped'"]
    assert seen == [(1, 1, {"a": 1}), (2, 2, {"a": 2})]


def test_select_narrows_by_each_of_its_arguments(state: StateManager) -> None:
    state.hooks.before("set", name="steady")(replayed.steady)
    state.hooks.after("set", name="other")(lambda change: None)
    for number in range(1, 7):
        with sk.correlate(f"req-{number}"):
            try_set(state, "a", {"n": number})
    state.set(StateScope.user("ada"), "a", {"n": 1})
    assert state.hooks.drain(60)
    replay = state.replay
    everything = replay.select()
    assert len(everything) == 7 + 6
    assert {each.id for each in everything} == {each.id for each in replay.select(ids=[e.id for e in everything])}
    assert len({each.id for each in everything}) == len(everything)
    (vetoed,) = replay.select(hook="steady", result="cancelled")
    assert replay.select(ids=[vetoed.id]) == [vetoed]
    assert vetoed.input is not None
    assert vetoed.input["correlation"] == "req-5"
    assert [each.hook for each in replay.select(correlation="req-5")] == ["steady"]
    assert sorted(each.hook for each in replay.select(correlation="req-4")) == ["other", "steady"]
    assert len(replay.select(scope=StateScope.user("ada"))) == 2
    assert replay.select(until=everything[0].at) == []
    assert len(replay.select(since=everything[0].at)) == 13
    assert replay.select(limit=2) == everything[-2:]
    assert replay.select(limit=0) == []
    with pytest.raises(errors.LimitExceeded) as caught:
        replay.select(limit=-1)
    assert caught.value.code == "replay.option"


def test_inputs_that_are_not_there_say_so(state: StateManager) -> None:
    state.hooks.before("set", name="first", priority=-1)(lambda context: None)
    state.hooks.before("set", name="modifies")(lambda c: HookResult.modify(1) if c.key == "a" else None)
    state.hooks.before("set", name="vetoes", priority=1)(lambda c: HookResult.cancel("no") if c.key == "b" else None)
    state.hooks.after("set", name="lists", batch=True)(lambda changes: None)
    state.set(SCOUT, "a", 2)
    try_set(state, "b", 1)
    state.hooks.before("set", name="secret")(lambda c: HookResult.cancel("no") if c.key == "c" else None)
    try_set(state, "c", {"password": "canary-1"})
    try_set(state, "c", ("a", "tuple"))
    assert state.hooks.drain(60)

    def replayed_of(hook: str) -> dict[str, str]:
        report = state.replay.verify(state.replay.select(hook=hook))
        return {item.status: item.detail for item in report}

    # Of what was modified behind it, and of what was refused behind it.
    assert replayed_of("first").keys() == {"input differs", "input gone"}
    assert replayed_of("lists").keys() == {"unclear"}
    found = state.replay.verify(state.replay.select(hook="secret", result="cancelled"))
    assert [item.status for item in found] == ["redacted", "redacted"]
    assert "secret" in found[0].detail
    assert "canary-1" not in str(found.document())


def test_a_log_that_was_let_go_is_said_and_not_guessed(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", allow_replay=True, keep_log_bytes=0, segment_bytes=1 << 16) as state:
        state.hooks.before("set", name="reading", key="a")(replayed.reading)
        state.set(GLOBAL, "limit", 100)
        state.set(SCOUT, "a", 1)
        for number in range(2000):
            state.set(SCOUT, "filler", "x" * 100 + str(number))
        state.set(GLOBAL, "limit", 0)
        try_set(state, "a", 5)
        state.set(GLOBAL, "limit", 7)
        assert state.hooks.drain(60)
        state.checkpoint()
        report = state.replay.verify(state.replay.select(hook="reading"))
    assert report.counts == {"input gone": 2}, report


def test_substitute_runs_the_chosen_hooks_only(state: StateManager) -> None:
    ran = list[str]()
    for name in ("a", "b", "c"):
        state.hooks.before("set", name=name)(lambda context, name=name: ran.append(name))
    state.set(SCOUT, "x", 1)
    assert state.hooks.drain(60)
    ran.clear()
    report = state.replay.substitute(state.replay.select(), hooks=["b"])
    assert {item.execution.hook: item.status for item in report} == {"a": "recorded", "b": "same", "c": "recorded"}
    assert ran == ["b"]
    other = state.replay.substitute(state.replay.select(), hooks={"c": lambda context: HookResult.cancel("no")})
    assert {item.execution.hook: item.status for item in other} == {"a": "recorded", "b": "recorded", "c": "different"}
    assert ran == ["b"]


def test_simulate_runs_nothing(state: StateManager) -> None:
    ran = list[int]()
    state.hooks.before("set", name="on")(lambda context: ran.append(1))
    state.hooks.before("set", name="off")(lambda context: ran.append(2))
    state.hooks.before("set", name="gone")(lambda context: ran.append(3))
    state.set(SCOUT, "x", 1)
    assert state.hooks.drain(60)
    state.hooks.disable("off")
    state.hooks.unregister("gone")
    ran.clear()
    report = state.replay.simulate(state.replay.select())
    assert {item.execution.hook: item.status for item in report} == {
        "on": "would run",
        "off": "disabled",
        "gone": "no hook",
    }
    assert ran == []


def test_replays_go_on_side_by_side_tell_how_far_they_are_and_stop(state: StateManager) -> None:
    inside, most, lock = 0, 0, threading.Lock()
    state.hooks.before("set", name="hook")(lambda context: None)
    for number in range(40):
        state.set(SCOUT, "a", number)
    assert state.hooks.drain(60)
    found = state.replay.select(hook="hook")

    meeting = threading.Barrier(2, timeout=60)

    def slow(context: Any) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        # One alone does not get on.
        meeting.wait()
        with lock:
            inside -= 1

    told = list[tuple[int, int]]()
    report = state.replay.verify(found, hook=slow, concurrency=4, progress=lambda *how: told.append(how))
    assert report.counts == {"same": 40}
    assert 2 <= most <= 4
    assert sorted(told) == [(number, 40) for number in range(1, 41)]
    assert [item.execution for item in report] == found
    for wrong in (0, 65):
        with pytest.raises(errors.LimitExceeded):
            state.replay.verify(found, concurrency=wrong)

    began, go = threading.Semaphore(0), threading.Event()

    def waiting(context: Any) -> None:
        began.release()
        go.wait(60)

    job = state.replay.start("verify", found, hook=waiting, concurrency=2)
    assert began.acquire(timeout=60)
    assert began.acquire(timeout=60)
    with pytest.raises(errors.Busy):
        job.wait(0.01)
    job.cancel()
    stopped = job.wait(30)
    go.set()
    assert stopped.counts == {"cancelled": 40}
    time.sleep(0.05)
    assert not began.acquire(blocking=False), "something began after the end"


def test_what_progress_raises_ends_the_replay_and_is_raised(state: StateManager) -> None:
    state.hooks.before("set", name="hook")(lambda context: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)

    def bad(done: int, total: int) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        state.replay.verify(state.replay.select(hook="hook"), progress=bad)


def test_an_observer_that_modifies_fails_again(state: StateManager) -> None:
    state.hooks.register(replayed.Looking())
    state.hooks.register(replayed.Small())
    state.set(SCOUT, "a", 5)
    try_set(state, "a", "x" * 100)
    assert state.hooks.drain(60)
    report = state.replay.verify(state.replay.select())
    assert report.counts == {"same": 4}, report
    fresh = state.replay.verify(state.replay.select(), hook={"Looking": replayed.Looking, "Small": replayed.Small()})
    assert fresh.counts == {"same": 4}, fresh
    assert {each.result for each in state.replay.select()} == {"failed", "proceeded", "cancelled"}


def test_without_permission_nothing_is_run_and_everything_is_read() -> None:
    ran = list[str]()
    with sk.open("memory:") as state:
        state.hooks.before("set", name="hook")(lambda context: ran.append("hook"))
        state.set(SCOUT, "a", 1)
        assert state.hooks.drain(60)
        found = state.replay.select(hook="hook")
        ran.clear()
        asked = (
            lambda: state.replay.verify(found),
            lambda: state.replay.verify(found, hook="replayed:steady", isolate=True),
            lambda: state.replay.verify([]),
            lambda: state.replay.substitute(found, hooks=["hook"]),
            lambda: state.replay.what_if(found, {"value": 2}),
            lambda: state.replay.start("verify", found),
            lambda: asyncio.run(state.replay.averify(found)),
        )
        for each in asked:
            with pytest.raises(errors.AccessDenied, match="allow_replay=True") as caught:
                each()
            assert caught.value.code == "access.denied"
        assert (ran, statuses(state.replay.simulate(found))) == ([], ["would run"])


def test_a_store_that_is_only_looked_at_can_permit_it(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        state.hooks.before("set", name="steady")(replayed.steady)
        state.set(SCOUT, "a", {"n": 1})
    with sk.open(tmp_path / "s", read_only=True, allow_replay=True) as looking:
        assert looking.replay.verify(looking.replay.select(), hook=replayed.steady).counts == {"same": 1}
