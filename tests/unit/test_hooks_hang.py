"""An after-hook that does not come back has power over itself only."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope
from spellkeep.hooks import HookResult, HookStats

SCOUT = StateScope.agent("scout")


@pytest.fixture
def free() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def stats_of(state: StateManager, name: str) -> HookStats:
    return next(each for each in state.hooks.stats() if each.name == name)


def hang_on(state: StateManager, free: threading.Event, value: int, name: str = "hang") -> threading.Event:
    inside = threading.Event()

    @state.hooks.after("set", name=name, budget_s=0.05, priority=-1)
    def hang(change: Change) -> None:
        if change.value == value:
            inside.set()
            free.wait(60)

    return inside


def test_the_others_are_given_everything_and_writers_do_not_wait(tmp_path: Path, free: threading.Event) -> None:
    seen = list[int]()
    state = sk.open(tmp_path / "s")
    for name in ("hang", "hang2", "hang3"):
        inside = hang_on(state, free, 1, name)
    state.hooks.after("set", name="good")(lambda change: seen.append(change.value))
    slowest = 0.0
    for number in range(2000):
        begun = time.perf_counter()
        state.set(SCOUT, "a", number)
        slowest = max(slowest, time.perf_counter() - begun)
        if number == 1:
            assert inside.wait(10)
    # Not one of them waited for any of the three.
    assert slowest < 30
    until = time.monotonic() + 60
    while len(seen) < 2000 and time.monotonic() < until:
        time.sleep(0.01)
    assert seen == list(range(2000))
    # It lags, and says so.
    assert not state.hooks.drain(0.2) and state.hooks.lag >= 1998
    while stats_of(state, "hang").breaker_opened_count == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert [stats_of(state, name).breaker_opened_count for name in ("hang", "good")] == [1, 0]
    begun = time.monotonic()
    state.close()
    # It is the hooks that take a minute.
    assert time.monotonic() - begun < 30
    assert state.hooks.left.keys() == {"hang", "hang2", "hang3"} and state.hooks.left["hang"] >= 1998
    # The next process gives what was left; what was given before it hung may come once more.
    missed = list[int]()
    with sk.open(tmp_path / "s") as again:
        again.hooks.after("set", name="hang")(lambda change: missed.append(change.value))
        assert again.hooks.drain(60)
    assert missed[-1999:] == list(range(1, 2000)) and len(missed) <= 2000 and again.hooks.left == {}


def test_closing_while_the_hang_is_not_known_yet_ends_within_its_bound(free: threading.Event) -> None:
    state = sk.open("memory:")
    inside = hang_on(state, free, 1)
    state.set(SCOUT, "a", 1)
    assert inside.wait(10)
    begun = time.monotonic()
    state.close()
    assert time.monotonic() - begun < 30
    assert state.hooks.left["hang"] >= 1


def test_one_that_comes_back_goes_on_where_it_was(free: threading.Event) -> None:
    with sk.open("memory:") as state:
        seen = list[int]()
        inside = hang_on(state, free, 3)
        state.hooks.after("set", name="good")(lambda change: seen.append(change.value))
        for number in range(10):
            state.set(SCOUT, "a", number)
        assert inside.wait(10)
        until = time.monotonic() + 60
        while stats_of(state, "hang").breaker == "closed" and time.monotonic() < until:
            time.sleep(0.01)
        assert stats_of(state, "hang").breaker != "closed"
        free.set()
        # After a probe, as the breaker was open.
        assert state.hooks.drain(60)
        assert seen == list(range(10))
        rows = state.hooks.history("hang")[::-1]
        assert len(rows) == 10 and [row.version for row in rows] == sorted({row.version for row in rows})
        assert stats_of(state, "hang").breaker == "closed"


def test_many_short_calls_are_no_hang_however_long_they_take_together(free: threading.Event) -> None:
    with sk.open("memory:") as state:
        seen, slow = list[int](), list[int]()

        # Together 1.5 s; each is far from the half second that would be too long, on a busy machine, too.
        @state.hooks.after("set", name="slow", priority=-1, budget_s=0.5)
        def sleep(change: Change) -> None:
            time.sleep(0.005)
            slow.append(change.value)

        state.hooks.after("set", name="good")(lambda change: seen.append(len(slow)))
        for number in range(300):
            state.set(SCOUT, "a", number)
        assert state.hooks.drain(60)
        assert slow == list(range(300)) and len(seen) == 300
        # The other one was through before.
        assert seen[-1] < 300
        assert stats_of(state, "slow").breaker_opened_count == 0


def test_a_process_with_a_hook_that_hangs_ends(tmp_path: Path) -> None:
    code = """
        import sys, threading, spellkeep as sk
        state = sk.open(sys.argv[1])
        inside = threading.Event()

        @state.hooks.after("set")
        def hang(change):
            inside.set()
            threading.Event().wait()

        state.set(sk.StateScope.GLOBAL, "a", 1)
        inside.wait()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path / "s")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with sk.open(tmp_path / "s") as state:
        assert state.recovery.clean and state.get(StateScope.GLOBAL, "a") == 1


@pytest.mark.parametrize("after_s", ["soon", None, float("nan"), float("inf"), -1])
def test_a_retry_at_no_time_is_a_failure_of_that_hook_alone(after_s: Any) -> None:
    # It ended the thread that delivers to all, or was given again without a pause.
    seen = list[int]()
    with sk.open("memory:") as state:

        @state.hooks.after("set", name="late", attempts_max=2)
        def late(change: Change) -> HookResult:
            return HookResult.retry(after_s)

        state.hooks.after("set", name="good")(lambda change: seen.append(change.value))
        state.set(SCOUT, "a", 1)
        assert state.hooks.drain(60) and seen == [1]
        found = stats_of(state, "late")
        assert (found.failed_count, found.given_up_count, found.last_error) == (2, 1, "ValueError")


@pytest.mark.parametrize("end", ["unregister", "disable"])
def test_a_hook_that_is_switched_off_in_the_middle_is_given_nothing_more(end: str) -> None:
    # It was given the rest of what had been read: up to 1,024 changes.
    seen = list[int]()
    with sk.open("memory:") as state:

        @state.hooks.after("set", name="first")
        def first(change: Change) -> None:
            seen.append(change.value)
            getattr(state.hooks, end)("first")

        with state.batch() as batch:
            for number in range(500):
                batch.set(SCOUT, f"k{number}", number)
        assert state.hooks.drain(60)
        time.sleep(0.1)
        assert seen == [0]
        if end == "disable":
            state.hooks.enable("first")
            assert state.hooks.drain(60) and seen == [0, 1]


class Odd(BaseException):
    pass


@pytest.mark.parametrize("raised", [Odd, SystemExit, asyncio.CancelledError])
def test_an_async_hook_that_raises_no_exception_fails_as_any_other(raised: type[BaseException]) -> None:
    # Nothing counted it, and it was given the same change again at once, for ever.
    async def main() -> None:
        async with sk.open("memory:") as state:

            @state.hooks.after("set", name="odd", attempts_max=2)
            async def odd(change: Change) -> None:
                raise raised

            state.set(SCOUT, "a", 1)
            assert await state.hooks.adrain(60)
            found = stats_of(state, "odd")
            assert (found.failed_count, found.given_up_count, found.last_error) == (2, 1, raised.__name__)

    asyncio.run(main())


def test_an_async_hook_hangs_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its breaker stayed closed, and closing took all of the 5 s that it may: here a minute, to tell that from slowness.
    monkeypatch.setattr("spellkeep.hooks.consumer._CLOSE_S", 60.0)

    async def main() -> None:
        state = sk.open("memory:")

        @state.hooks.after("set", name="hang", budget_s=0.05)
        async def hang(change: Change) -> None:
            await asyncio.sleep(3600)

        state.set(SCOUT, "a", 1)
        until = time.monotonic() + 60
        while stats_of(state, "hang").breaker_opened_count == 0 and time.monotonic() < until:
            await asyncio.sleep(0.02)
        assert stats_of(state, "hang").breaker_opened_count == 1
        begun = time.monotonic()
        await state.aclose()
        assert time.monotonic() - begun < 30 and state.hooks.left["hang"] > 0

    asyncio.run(main())
