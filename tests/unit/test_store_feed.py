"""Following the log: waiting for what comes, and keeping what is not read yet."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sk.StateManager]:
    with sk.open(tmp_path / "s") as state:
        yield state


def test_a_reader_that_waits_sees_every_change_once_and_in_order(state: sk.StateManager) -> None:
    count = 5000
    seen: list[int] = []

    def read() -> None:
        changes, at = state.changes(), 0
        while at < count:
            at = state._wait_changes(at, 60)
            seen.extend(change.value for change in changes)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(count):
        state.set(SCOUT, f"k{i % 10}", i)
        if i % 1000 == 0:
            time.sleep(0.03)
    reader.join(60)
    assert seen == list(range(count))


def test_a_wait_ends_when_its_time_is_over_or_there_is_something_already(state: sk.StateManager) -> None:
    version = state.set(SCOUT, "a", 1)
    assert state._wait_changes(0, 60) == version
    begun = time.monotonic()
    assert state._wait_changes(version, 0.05) == version
    # By a clock of whole milliseconds.
    assert time.monotonic() - begun >= 0.049
    assert state._wait_changes(version, 0) == version
    assert state._wait_changes(version, -1) == version
    assert state._wait_changes(version, float("nan")) == version


def test_a_close_wakes_who_waits(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    codes: list[str] = []

    def wait() -> None:
        try:
            state._wait_changes(0, 60)
        except sk.errors.Closed as closed:
            codes.append(closed.code)

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.05)
    state.close()
    waiter.join(60)
    assert codes == ["store.closed"]


def test_a_wait_lets_other_threads_run_and_takes_signals(state: sk.StateManager) -> None:
    def interrupt() -> None:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with pytest.raises(KeyboardInterrupt):
        # In here: it may come before the wait has begun.
        thread.start()
        state._wait_changes(0, 60)
    thread.join()


def test_a_checkpoint_keeps_what_is_held(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", segment_bytes=65536, ring_bytes=65536, keep_log_bytes=0) as state:
        state._hold_log(0)
        assert state.stats().held_version == 0
        for i in range(40):
            state.events.emit("large", "x" * 8000 + str(i))
        state.checkpoint()
        assert len(list(state.changes())) == 40
        state._hold_log(30)
        assert state.stats().held_version == 30
        state.checkpoint()
        assert len(list(state.changes(since=30))) == 10
        assert len(list(state.changes())) < 30
        state._hold_log(None)
        assert state.stats().held_version is None
        state.checkpoint()
        with pytest.raises(sk.errors.LimitExceeded):
            state.changes(since=30)
        state.close()
        with pytest.raises(sk.errors.Closed):
            state._hold_log(3)


def test_a_feed_in_chunks_leaves_no_change_out(state: sk.StateManager) -> None:
    """Between two chunks of 256 one was taken and dropped."""
    for i in range(1000):
        state.set(SCOUT, "a", i)

    async def read() -> list[int]:
        return [change.value async for change in state.achanges()]

    assert asyncio.run(read()) == list(range(1000))


def test_threads_that_share_a_cursor_take_each_change_once(state: sk.StateManager) -> None:
    for i in range(20_000):
        state.set(SCOUT, "a", i)
    changes = state.changes()
    taken: list[list[int]] = [[] for _ in range(4)]

    def take(into: list[int]) -> None:
        into.extend(change.version for change in changes)

    threads = [threading.Thread(target=take, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(version for some in taken for version in some) == list(range(1, 20_001))
    assert all(some == sorted(some) for some in taken)
