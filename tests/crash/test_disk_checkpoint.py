"""Checkpoints on disks that refuse: full, limited, read-only. The store stays right, says why, and goes on."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

import spellkeep
from crash.child import Mount, run
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL = {"ring_bytes": 64 << 10, "segment_bytes": 64 << 10}


def _fill(state: StateManager, ballast: Path) -> dict[str, int]:
    """Write 200 KB, then take what the disk still has but for 96 KiB. Returns: what was acknowledged."""
    acknowledged: dict[str, int] = {}
    for number in range(400):
        state.set(SCOUT, f"k{number}", {"number": number, "fill": "x" * 500})
        acknowledged[f"k{number}"] = number
    state.flush()
    with ballast.open("wb", buffering=0) as file:
        while True:
            room = os.statvfs(ballast.parent)
            free = room.f_bavail * room.f_frsize - (96 << 10)
            if free <= 0 or not file.write(bytes(min(free, 64 << 10))):
                return acknowledged


def _kept(state: StateManager) -> dict[str, int]:
    return {key: value["number"] for key, value in state.items(SCOUT)}


def test_a_checkpoint_on_a_full_disk_fails_alone_and_works_when_there_is_room(small_disk: Path) -> None:
    with spellkeep.open(small_disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        kept = _fill(state, small_disk / "ballast")
        for _ in range(3):
            with pytest.raises(errors.StorageFailed) as caught:
                state.checkpoint()
            assert caught.value.code == "storage.full"
            # Reads, histories and small writes go on, and no half-made snapshot takes up the room.
            assert _kept(state) == kept
            assert state.history(SCOUT, "k0")[0].version == 1
            assert not list((small_disk / "s" / "snapshots").glob("*.tmp"))
        state.set(SCOUT, "k0", {"number": 1000})
        state.flush()
        kept["k0"] = 1000
        (small_disk / "ballast").unlink()
        assert state.checkpoint() == state.last_version
        assert _kept(state) == kept
    with spellkeep.open(small_disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        assert (state.recovery.snapshot_row_count, state.recovery.snapshot_damage) == (400, [])
        assert _kept(state) == kept


def test_a_disk_that_fills_up_between_checkpoints_loses_no_snapshot(small_disk: Path) -> None:
    with spellkeep.open(small_disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        state.set(SCOUT, "early", {"number": -1})
        state.checkpoint()
        kept = {"early": -1, **_fill(state, small_disk / "ballast")}
        with pytest.raises(errors.StorageFailed):
            state.checkpoint()
        assert _kept(state) == kept
    # A reopening on the full disk goes on from what there is.
    with spellkeep.open(small_disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        assert _kept(state) == kept
        assert state.recovery.snapshot_damage == []
        (small_disk / "ballast").unlink()
        state.checkpoint()
    with spellkeep.open(small_disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        assert (state.recovery.snapshot_row_count, _kept(state)) == (401, kept)


def test_a_checkpoint_in_the_background_says_why_it_failed_until_one_has_worked(mount: Mount) -> None:
    """A checkpoint that was asked for left the failure of an earlier one in the background in the figures."""
    disk = mount("-t", "tmpfs", "-o", "size=128m", "none")
    with spellkeep.open(disk / "s", segment_bytes=1 << 20, keep_log_bytes=0) as state:
        (disk / "ballast").write_bytes(bytes(100 << 20))
        version = 0
        with pytest.raises(errors.StorageFailed) as caught:
            for number in range(100):
                version = state.set(SCOUT, f"k{number % 20}", {"number": number, "fill": bytes([number]) * (1 << 20)})
        assert caught.value.code == "storage.full"
        until_s = time.monotonic() + 60
        while state.stats().checkpoint_failure is None:
            assert time.monotonic() < until_s
            time.sleep(0.02)
        assert "No space left" in str(state.stats().checkpoint_failure)
        (disk / "ballast").unlink()
        assert state.checkpoint() == version
        # The background may have been before it.
        assert state.stats().checkpoint_count >= 1
        assert state.stats().checkpoint_failure is None
        last = {f"k{number % 20}": number for number in range(version)}
        assert _kept(state) == last
    with spellkeep.open(disk / "s", segment_bytes=1 << 20) as state:
        assert _kept(state) == last


def test_a_store_with_snapshots_on_a_read_only_file_system_is_refused_whole(mount: Mount) -> None:
    disk = mount("-t", "tmpfs", "-o", "size=8m", "none")
    with spellkeep.open(disk / "s", **SMALL, keep_log_bytes=0) as state:  # type: ignore[arg-type]
        for number in range(500):
            state.set(SCOUT, f"k{number % 10}", {"number": number})
        state.checkpoint()
    del state
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(errors.StorageFailed) as caught:
        spellkeep.open(disk / "s", **SMALL)  # type: ignore[arg-type]
    assert caught.value.code == "storage.read_only"
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    with spellkeep.open(disk / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert state.recovery.snapshot_damage == []
        assert _kept(state) == {f"k{number % 10}": number for number in range(490, 500)}


LIMITED = """
import resource
state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536, keep_log_bytes=0)
kept = {}
for number in range(300):
    kept[f"k{number}"] = state.set(scout, f"k{number}", [number, "x" * 500])
state.flush()
kind, low = getattr(resource, sys.argv[2]), int(sys.argv[3])
former = resource.getrlimit(kind)
resource.setrlimit(kind, (low, former[1]))
for _ in range(3):
    try:
        state.checkpoint()
        print("no error")
    except errors.StorageFailed as error:
        codes = error.code
assert {key: state.entry(scout, key).version for key in kept} == kept
resource.setrlimit(kind, former)
assert state.set(scout, "after", 1) == 301
assert state.checkpoint() == 301
print(codes)
state.close()
"""


@pytest.mark.parametrize(
    ("limit", "low", "code"), [("RLIMIT_FSIZE", 100_000, "storage.full"), ("RLIMIT_NOFILE", 3, "storage.io")]
)
def test_a_limit_of_the_process_fails_a_checkpoint_and_nothing_else(
    limit: str, low: int, code: str, tmp_path: Path
) -> None:
    done = run(LIMITED, tmp_path / "s", limit, low)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{code}\n", "")
    with spellkeep.open(tmp_path / "s", **SMALL) as state:  # type: ignore[arg-type]
        assert state.recovery.snapshot_damage == []
        assert (state.recovery.snapshot_version, len(state.list_keys(SCOUT))) == (301, 301)
