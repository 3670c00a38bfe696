"""Registering hooks, switching them off, their breakers and figures, and what many threads do to them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.breaker import BreakerOptions
from spellkeep.hooks import HookContext, HookResult

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def test_a_hook_that_is_switched_off_stays_off_in_the_next_process(tmp_path: Path) -> None:
    seen = list[Any]()

    def look(context: HookContext) -> None:
        seen.append(context.value)

    with sk.open(tmp_path / "s") as state:
        state.hooks.before("set")(look)
        state.hooks.disable("look")
        state.set(SCOUT, "a", 1)
        assert [info.enabled for info in state.hooks.ls()] == [False]
    with sk.open(tmp_path / "s") as state:
        state.hooks.before("set")(look)
        state.set(SCOUT, "a", 2)
        state.hooks.enable("look")
        state.set(SCOUT, "a", 3)
    with sk.open(tmp_path / "s") as state:
        state.hooks.before("set")(look)
        state.set(SCOUT, "a", 4)
    assert seen == [3, 4]


def test_a_breaker_holds_back_a_failing_observer_and_lets_a_probe_through(state: StateManager) -> None:
    broken = True
    calls = list[int]()
    options = BreakerOptions(window_count=4, samples_min=2, open_s=3600)

    @state.hooks.before("set", fail_closed=False, breaker=options)
    def flaky(context: HookContext) -> None:
        calls.append(context.value)
        if broken:
            raise OSError

    for number in range(6):
        state.set(SCOUT, "a", number)
    (stats,) = state.hooks.stats()
    assert (calls, stats.breaker, stats.refused_count, stats.breaker_opened_count) == ([0, 1], "open", 4, 1)
    broken = False
    # The hour goes by.
    state.hooks._hooks["flaky"].breaker._now = lambda: time.monotonic() + 3601
    for number in range(6, 9):
        state.set(SCOUT, "a", number)
    assert calls == [0, 1, 6, 7, 8]
    assert state.hooks.ls()[0].breaker == "closed"


def test_successes_count_for_the_breaker_although_they_are_told_late(state: StateManager) -> None:
    options = BreakerOptions(window_count=10, samples_min=3, failure_ratio=0.5, open_s=100)

    @state.hooks.before("set", fail_closed=False, breaker=options)
    def flaky(context: HookContext) -> None:
        if context.value >= 6:
            raise OSError

    for number in range(10):
        state.set(SCOUT, "a", number)
        # Six successes, then failures: the fourth of ten is not half of them.
        assert state.hooks.ls()[0].breaker == "closed"
    state.set(SCOUT, "a", 10)
    assert state.hooks.ls()[0].breaker == "open"


def test_behind_an_open_breaker_a_validator_lets_nothing_pass(state: StateManager) -> None:
    @state.hooks.before("set", breaker=BreakerOptions(window_count=1, samples_min=1, open_s=100))
    def broken(context: HookContext) -> None:
        raise OSError

    codes = list[str]()
    for _ in range(2):
        with pytest.raises(errors.HookVeto) as caught:
            state.set(SCOUT, "a", 1)
        codes.append(caught.value.code)
    assert codes == ["hook.failed", "hook.breaker_open"]


def test_slow_answers_stand_but_open_the_breaker(state: StateManager) -> None:
    options = BreakerOptions(window_count=2, samples_min=2, slow_ratio=1.0, open_s=100)

    @state.hooks.before("set", fail_closed=False, budget_s=0.001, breaker=options)
    def slow(context: HookContext) -> None:
        time.sleep(0.002)

    for number in range(4):
        state.set(SCOUT, "a", number)
    (stats,) = state.hooks.stats()
    assert (stats.count, stats.slow_count, stats.breaker, stats.refused_count) == (2, 2, "open", 2)
    assert 0.002 <= stats.p50_s <= stats.p99_s <= stats.max_s * 1.25


def test_figures_count_what_hooks_answered(state: StateManager) -> None:
    answers = [None, HookResult.proceed(), HookResult.skip(), HookResult.modify(7), HookResult.cancel("no")]
    rest = iter(answers)
    state.hooks.before("set", name="each")(lambda context: next(rest))
    for _ in answers[:-1]:
        state.set(SCOUT, "a", 1)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "a", 1)
    (stats,) = state.hooks.stats()
    assert (stats.count, stats.proceeded_count, stats.skipped_count, stats.modified_count, stats.cancelled_count) == (
        5,
        2,
        1,
        1,
        1,
    )
    assert 0 < stats.p50_s <= stats.p95_s <= stats.p99_s


def test_two_threads_run_hooks_at_the_same_time(state: StateManager) -> None:
    meeting = threading.Barrier(2, timeout=10)
    state.hooks.before("set", name="meet")(lambda context: (meeting.wait(), None)[1])
    threads = [threading.Thread(target=state.set, args=(SCOUT, str(number), 1)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert state.list_keys(SCOUT) == ["0", "1"]


def test_registering_while_others_write_loses_no_write(state: StateManager) -> None:
    done = threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            state.set(SCOUT, "a", number)
            number += 1

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(200):
        state.hooks.before("set", name=f"h{number}")(lambda context: None)
        if number % 2:
            state.hooks.unregister(f"h{number - 1}")
    done.set()
    for thread in threads:
        thread.join(20)
    assert len(state.hooks) == 100
    assert all(stats.failed_count == 0 for stats in state.hooks.stats())


def test_nobody_is_asked_about_what_cannot_be_written(tmp_path: Path) -> None:
    calls = list[Any]()
    with sk.open(tmp_path / "s") as state:
        state.hooks.before("set", "delete", "clear", "batch", name="look")(calls.append)
        handle = state.scope(SCOUT)
    with pytest.raises(errors.Closed):
        handle.set("a", 1)
    with pytest.raises(errors.Closed):
        state.hooks.before("set", name="late")(calls.append)
    with sk.open(tmp_path / "s", read_only=True) as state:
        state.hooks.before("set", name="look")(calls.append)
        with pytest.raises(errors.ReadOnly):
            state.set(SCOUT, "a", 1)
    assert calls == []


def test_a_store_with_hooks_that_know_it_can_be_collected() -> None:
    state = sk.open("memory:")

    def knows(state: StateManager) -> Any:
        return lambda context: context.metadata.update(me=context, state=state)

    state.hooks.before("set", name="look")(knows(state))
    state.set(SCOUT, "a", 1)
    gone = weakref.ref(state)
    state.close()
    del state
    gc.collect()
    assert gone() is None


def test_names_and_numbers_are_checked(state: StateManager) -> None:
    hooks, nothing = state.hooks, lambda context: None
    for name in ("a b", "a..b", "", "x" * 65, "a/b"):
        with pytest.raises(errors.InvalidKey) as invalid:
            hooks.before("set", name=name)(nothing)
        assert invalid.value.code == "hook.name"
    hooks.before("set", name="x" * 64)(nothing)
    with pytest.raises(errors.Conflict) as conflict:
        hooks.before("set", name="x" * 64)(nothing)
    assert conflict.value.code == "hook.exists"
    for missing in (hooks.unregister, hooks.enable, hooks.disable):
        with pytest.raises(errors.KeyMissing) as gone:
            missing("nobody")
        assert gone.value.code == "hook.missing"
    with pytest.raises(ValueError):
        hooks.before("sett", name="odd")(nothing)
    with pytest.raises(ValueError, match="no point"):
        hooks.before(name="never")(nothing)
    with pytest.raises(errors.LimitExceeded):
        hooks.before("set", name="eager", budget_s=0)(nothing)
    with pytest.raises(TypeError):
        hooks.register(nothing)  # type: ignore[arg-type]

    async def later(context: HookContext) -> None:
        pass

    with pytest.raises(TypeError, match="async"):
        hooks.before("set")(later)
    for number in range(999):
        hooks.before("clear", name=f"n{number}")(nothing)
    with pytest.raises(errors.LimitExceeded) as full:
        hooks.before("clear", name="one.more")(nothing)
    assert full.value.code == "hook.count"


def test_entry_points_of_packages_are_registered(
    state: StateManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin_of_hooks.py").write_text(
        "from spellkeep.hooks import Observer\n"
        "class Quiet(Observer):\n    points = ('before_set',)\n    def decide(self, context): return None\n"
        "def more(hooks):\n    hooks.before('delete', name='more')(lambda context: None)\n"
    )
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[spellkeep.hooks]\nquiet = plugin_of_hooks:Quiet\nthe_rest = plugin_of_hooks:more\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert state.hooks.load_entry_points() == ["quiet", "more"]
    assert [info.points for info in state.hooks.ls()] == [("before_set",), ("before_delete",)]
