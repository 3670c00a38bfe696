"""Disks that refuse: full, read-only, not a directory, limited, and syncs that fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import spellkeep
from crash.child import Mount, run
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL = {"ring_bytes": 64 << 10, "segment_bytes": 64 << 10}


def _fill(state: StateManager) -> tuple[dict[str, int], errors.StorageFailed]:
    """Write until the disk is full. Returns: what was acknowledged, and the error."""
    acknowledged: dict[str, int] = {}
    for number in range(1_000_000):
        try:
            state.set(SCOUT, f"k{number}", {"number": number, "fill": "x" * 500})
        except errors.StorageFailed as error:
            return acknowledged, error
        acknowledged[f"k{number}"] = number
    raise AssertionError("the disk never filled up")


def _kept(state: StateManager) -> dict[str, int]:
    return {key: value["number"] for key, value in state.items(SCOUT)}


def test_a_disk_without_room_for_a_store_is_refused_and_given_back(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=256k", "none")
    with pytest.raises(errors.StorageFailed) as caught:
        spellkeep.open(disk / "s")
    assert caught.value.code == "storage.full"
    # What was begun is small, and no half-made ring takes up the room.
    assert sum(path.stat().st_blocks * 512 for path in disk.rglob("*") if path.is_file()) <= 64 << 10
    with spellkeep.open(disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        state.set(SCOUT, "k", 1)
    with spellkeep.open(disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert state.get(SCOUT, "k") == 1


def test_a_full_disk_refuses_writes_and_keeps_every_acknowledged_one(small_disk: Path) -> None:
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        acknowledged, error = _fill(state)
        assert error.code == "storage.full"
        assert len(acknowledged) > 100
        # Reads go on, and what was refused is not there.
        assert _kept(state) == acknowledged
        assert state.stats().last_version == len(acknowledged)
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == acknowledged


def test_writes_go_on_once_there_is_room_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * (512 << 10))
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        acknowledged, _ = _fill(state)
        ballast.unlink()
        state.set(SCOUT, "again", {"number": -1})
        state.flush()
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == {**acknowledged, "again": -1}


def test_a_kill_on_a_full_disk_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    script = """
    import signal
    state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536)
    number = 0
    while True:
        try:
            state.set(scout, f"k{number}", {"number": number, "fill": "x" * 500})
        except errors.StorageFailed:
            break
        number += 1
    print(number, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run(script, small_disk / "s")
    assert done.returncode == -9, done.stderr
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == {f"k{number}": number for number in range(int(done.stdout))}


def test_a_value_larger_than_the_room_is_refused_whole(small_disk: Path) -> None:
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        state.set(SCOUT, "before", {"number": 1})
        with pytest.raises(errors.StorageFailed) as caught:
            state.set(SCOUT, "big", {"number": 2, "fill": "x" * (8 << 20)})
        assert caught.value.code == "storage.full"
        assert _kept(state) == {"before": 1}
        state.set(SCOUT, "after", {"number": 3})
    with spellkeep.open(small_disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == {"before": 1, "after": 3}


def test_a_read_only_file_system_is_refused(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=8m", "none")
    with spellkeep.open(disk / "s", ring_bytes=64 << 10, segment_bytes=64 << 10) as state:
        state.set(SCOUT, "k", {"number": 1})
    del state
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for name in ("s", "new"):
        with pytest.raises(errors.StorageFailed) as caught:
            spellkeep.open(disk / name)
        assert caught.value.code == "storage.read_only"
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    with spellkeep.open(disk / "s", ring_bytes=64 << 10, segment_bytes=64 << 10) as state:
        assert _kept(state) == {"k": 1}


def test_a_file_in_place_of_the_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    for path in (tmp_path / "s", tmp_path / "s" / "below"):
        with pytest.raises(errors.StorageFailed) as caught:
            spellkeep.open(path)
        assert caught.value.code == "storage.not_a_directory"
    assert (tmp_path / "s").read_text() == "mine"


def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may do everything")
    tmp_path.chmod(0o500)
    with pytest.raises(errors.StorageFailed) as caught:
        spellkeep.open(tmp_path / "s")
    assert caught.value.code == "storage.read_only"


def test_a_limit_of_the_file_size_is_an_error_and_not_a_signal(tmp_path: Path) -> None:
    script = """
    import resource
    state = spellkeep.open(store, ring_bytes=65536, segment_bytes=1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, resource.RLIM_INFINITY))
    number = 0
    try:
        while number < 100_000:
            state.set(scout, f"k{number}", {"number": number, "fill": "x" * 500})
            number += 1
    except errors.StateError as error:
        print(number, error.code, flush=True)
    os._exit(0)
    """
    done = run(script, tmp_path / "s")
    assert done.returncode == 0, done.stderr
    if not done.stdout:
        pytest.skip("the store never passed the limit")
    number, code = done.stdout.split()
    assert code == "storage.full"
    with spellkeep.open(tmp_path / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == {f"k{count}": count for count in range(int(number))}


INJECTED = """
state = spellkeep.open(store, ring_bytes=65536, segment_bytes=1 << 20, interval_ms=1)
import time
number, end = 0, ""
try:
    while number < 3000:
        state.set(scout, f"k{number}", {"number": number})
        number += 1
        if number % 100 == 0:
            # The thread in the background syncs each time, however late it is.
            syncs, until_s = state.stats().sync_count, time.monotonic() + 1
            while state.stats().sync_count == syncs and time.monotonic() < until_s and state.stats().repair_count == 0:
                time.sleep(0.001)
    state.flush()
except errors.StateError as error:
    end = error.code
print(number, end or "flushed", state.stats().repair_count if not end else 0, flush=True)
os._exit(0)
"""


def _opening_syncs(strace: str, store: Path) -> int:
    """How many syncs the opening of a new store takes."""
    trace = store.parent / "trace"
    done = run(
        "spellkeep.open(store, ring_bytes=65536, segment_bytes=1 << 20, interval_ms=1)\nos._exit(0)",
        store.parent / "probe",
        before=(strace, "-f", "-qq", "-o", str(trace), "-e", "trace=fdatasync,fsync"),
    )
    if done.returncode != 0:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:100]}")
    return trace.read_text().count("sync(")


def _injected(store: Path, forever: bool) -> tuple[int, str, int]:
    """Run the script with a failing sync, or all from then on. Returns: acknowledged, how it ended, repairs."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    # Counted per thread: the one that opens the store must come past it, the one in the background will.
    when = f"{_opening_syncs(strace, store) + 2}{'+' if forever else ''}"
    inject = (strace, "-f", "-qq", "-o", "/dev/null", "-e", f"inject=fdatasync,fsync:error=EIO:when={when}")
    done = run(INJECTED, store, before=inject)
    assert done.returncode == 0, done.stderr
    number, end, repairs = done.stdout.split()
    return int(number), end, int(repairs)


def test_a_sync_that_fails_once_is_repaired_and_nothing_is_lost(tmp_path: Path) -> None:
    store = tmp_path / "s"
    number, end, repairs = _injected(store, forever=False)
    assert (number, end) == (3000, "flushed")
    with spellkeep.open(store, **SMALL) as state:  # type: ignore[arg-type]
        assert _kept(state) == {f"k{count}": count for count in range(number)}
    assert repairs >= 1


def test_syncs_that_keep_failing_poison_the_store_and_lose_nothing_acknowledged(tmp_path: Path) -> None:
    store = tmp_path / "s"
    number, end, _ = _injected(store, forever=True)
    assert end == "store.poisoned"
    with spellkeep.open(store, **SMALL) as state:  # type: ignore[arg-type]
        kept = _kept(state)
    # One more may be there: the write that was answered with the error.
    assert {key: kept[key] for key in kept if kept[key] < number} == {f"k{count}": count for count in range(number)}
    assert len(kept) <= number + 1
