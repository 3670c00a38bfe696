"""Checkpoints and retention, as users see them."""

from __future__ import annotations

import asyncio
import pathlib
import time

import pytest

import spellkeep as sk
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL = {"ring_bytes": 65536, "segment_bytes": 65536}


def directory_bytes(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def test_a_key_overwritten_a_million_times_leaves_a_small_directory(tmp_path: pathlib.Path) -> None:
    # Kept are the last 16 MiB, to the start of their segment, which ends up to a ring behind its length, and what the
    # older of two checkpoints has not: how much that is when the loop ends is the affair of the background, so both are
    # asked for.
    with sk.open(tmp_path, segment_bytes=8 << 20) as state:
        handle = state.scope(SCOUT)
        for i in range(1_000_000):
            handle.set("counter", i)
        state.checkpoint()
        handle.set("counter", 999_999)
        state.checkpoint()
        stats = state.stats()
        assert stats.checkpoint_failure is None
        assert stats.checkpoint_version == stats.last_version
        assert stats.log_bytes > 80_000_000
        assert stats.kept_log_bytes <= (16 + 8 + 4 + 2) << 20
    assert directory_bytes(tmp_path) < 48 << 20
    with sk.open(tmp_path, keep_log_bytes=0) as state:
        state.set(SCOUT, "filler", "x" * 100_000)
        state.checkpoint()
        assert state.get(SCOUT, "counter") == 999_999
    assert directory_bytes(tmp_path) < 5 << 20


def test_the_background_makes_a_checkpoint_when_the_log_has_grown(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path, keep_log_bytes=0) as state:
        for i in range(40):
            state.set(SCOUT, "big", bytes([i]) * (1 << 20))
        until = time.monotonic() + 60
        while not state.stats().checkpoint_count and time.monotonic() < until:
            time.sleep(0.02)
        assert state.stats().checkpoint_count
        assert state.stats().checkpoint_failure is None


def test_how_much_the_log_grows_between_checkpoints_may_be_chosen(tmp_path: pathlib.Path) -> None:
    for name, log_bytes, wanted in (("often", 1 << 20, True), ("seldom", 1 << 30, False)):
        with sk.open(tmp_path / name, checkpoint_log_bytes=log_bytes) as state:
            for i in range(24):
                state.set(SCOUT, "big", bytes([i]) * (1 << 20))
            until = time.monotonic() + (60 if wanted else 0.5)
            while not state.stats().checkpoint_count and time.monotonic() < until:
                time.sleep(0.02)
            assert bool(state.stats().checkpoint_count) is wanted, name


def test_a_checkpoint_is_reported_by_the_next_opening(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path, **SMALL, keep_log_bytes=0) as state:
        for i in range(1000):
            state.set(SCOUT, f"key {i % 10}", i)
        assert state.checkpoint() == 1000
        state.set(SCOUT, "after", 1)
    with sk.open(tmp_path, **SMALL) as state:
        found = state.recovery
        assert (found.snapshot_version, found.snapshot_row_count, found.record_count) == (1000, 10, 1)
        assert (state.get(SCOUT, "key 9"), state.get(SCOUT, "after")) == (999, 1)
        assert state.entry(SCOUT, "key 9").version == 1000


def test_a_deleted_snapshot_costs_time_and_two_of_them_are_an_error(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path, **SMALL, keep_log_bytes=0) as state:
        for i in range(2000):
            state.set(SCOUT, f"key {i}", i)
        state.checkpoint()
    (tmp_path / "snapshots" / "a.rows").unlink()
    with sk.open(tmp_path, **SMALL) as state:
        assert [state.get(SCOUT, f"key {i}") for i in range(2000)] == list(range(2000))
        state.checkpoint()
    for file in (tmp_path / "snapshots").iterdir():
        file.unlink()
    with pytest.raises(errors.Corrupted, match="snapshots are missing") as caught:
        sk.open(tmp_path, **SMALL)
    assert caught.value.code == "log.damaged"


def test_retention_decides_how_far_back_histories_go(tmp_path: pathlib.Path) -> None:
    for name, keep, whole in [
        ("all", {"keep_log_bytes": None}, True),
        ("days", {"keep_log_bytes": 0, "keep_log_days": 1}, True),
        ("none", {"keep_log_bytes": 0}, False),
    ]:
        with sk.open(tmp_path / name, **SMALL, **keep) as state:
            for _i in range(3000):
                state.set(SCOUT, "key", "x" * 100)
            state.checkpoint()
            state.set(SCOUT, "key", "last")
            history = state.history(SCOUT, "key", limit=5000)
            assert (len(history) == 3001) is whole, name
            assert history[0].value == "last"
            assert (next(state.changes()).version == 1) is whole


@pytest.mark.parametrize("days", [-1, float("nan"), 1e9])
def test_an_impossible_retention_is_refused(tmp_path: pathlib.Path, days: float) -> None:
    with pytest.raises(errors.LimitExceeded, match="keep_log_days") as caught:
        sk.open(tmp_path / "new", keep_log_days=days)
    assert caught.value.code == "store.option"
    assert not (tmp_path / "new").exists()


def test_the_log_of_a_store_in_memory_goes_too() -> None:
    with sk.open("memory:", **SMALL, keep_log_bytes=0) as state:
        for i in range(3000):
            state.set(SCOUT, f"key {i % 10}", "x" * 100)
        state.checkpoint()
        assert state.stats().segment_count == 1
        assert state.get(SCOUT, "key 3") == "x" * 100


def test_the_async_twin_returns_the_same(tmp_path: pathlib.Path) -> None:
    async def run() -> int:
        async with sk.open(tmp_path) as state:
            await state.aset(SCOUT, "a", 1)
            return await state.acheckpoint()

    assert asyncio.run(run()) == 1


def test_changes_that_are_gone_are_an_error_and_not_a_gap(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path, **SMALL, keep_log_bytes=0) as state:
        for i in range(3000):
            state.set(SCOUT, "key", i)
        behind = state.changes(since=5)
        assert next(behind).version == 6
        state.set(SCOUT, "filler", "x" * 100_000)
        state.checkpoint()
        state.set(SCOUT, "key", "last")
        assert [change.value for change in state.changes()] == ["last"]
        assert [change.version for change in state.changes(since=3001)] == [3002]
        with pytest.raises(errors.LimitExceeded, match="version 3002") as caught:
            state.changes(since=5)
        assert caught.value.code == "log.trimmed"
        with pytest.raises(errors.LimitExceeded, match="version 3002"):
            list(behind)


def test_a_store_in_memory_rests_when_nothing_is_written() -> None:
    # Its log goes a segment at a time. Past 32 MiB the background once tried again and again to let go of a segment
    # that was still to be kept: millions of checkpoints a second, on a processor of its own, while it was open.
    with sk.open("memory:") as state:
        handle = state.scope(SCOUT)
        for i in range(400):
            handle.set(f"key {i % 10}", "x" * 100_000)
        until = time.monotonic() + 60
        before, count = -1, state.stats().checkpoint_count
        while count != before and time.monotonic() < until:
            time.sleep(0.2)
            before, count = count, state.stats().checkpoint_count
        assert count == before
        assert count < 40
