"""What stands on the disk: who may read it, and names that are not what they seem."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL = {"ring_bytes": 64 << 10, "segment_bytes": 64 << 10}


def _make(path: Path) -> None:
    """A store with sealed segments, both snapshots and a log behind them."""
    with spellkeep.open(path, **SMALL, keep_log_bytes=None) as state:  # type: ignore[arg-type]
        for number in range(300):
            state.set(SCOUT, f"k{number % 30}", [number, bytes(500)])
        state.checkpoint()
        state.set(SCOUT, "behind", 1)


def _holds(path: Path) -> None:
    with spellkeep.open(path, **SMALL) as state:  # type: ignore[arg-type]
        assert (len(state.list_keys(SCOUT)), state.get(SCOUT, "behind")) == (31, 1)
        assert state.recovery.snapshot_damage == []
        state.checkpoint()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_a_store_whatever_the_umask_says(umask: int, tmp_path: Path) -> None:
    # A file has the mode that it was made with, under `*.tmp`, and the rename keeps it.
    script = f"""
os.umask({umask})
state = spellkeep.open(store + "/deep/er", ring_bytes=65536, segment_bytes=65536)
for number in range(300):
    state.set(scout, f"k{{number % 30}}", [number, bytes(500)])
state.checkpoint()
state.set(scout, "large", bytes(200_000))
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    found = {path: stat.S_IMODE(path.lstat().st_mode) for path in [tmp_path / "s", *(tmp_path / "s").rglob("*")]}
    assert {"a.rows", "b.rows", "ring", "LOCK", "MANIFEST"} < {path.name for path in found}
    assert {path for path, mode in found.items() if mode != (0o700 if path.is_dir() else 0o600)} == set()


@pytest.mark.parametrize(
    "name",
    ["LOCK", "MANIFEST", "ring", "segments", "segments/*.seg", "snapshots", "snapshots/a.rows", "snapshots/b.rows"],
)
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_in_place_of_anything_of_a_store_is_refused(name: str, dangling: bool, tmp_path: Path) -> None:
    """A link in place of the directory of the snapshots was followed by openings, and refused by checkpoints alone."""
    _make(tmp_path / "s")
    place = sorted((tmp_path / "s").glob(name))[-1]
    elsewhere = tmp_path / "elsewhere"
    place.rename(elsewhere)
    place.symlink_to(tmp_path / "nothing" if dangling else elsewhere)
    content = elsewhere.read_bytes() if elsewhere.is_file() else b""
    with pytest.raises((errors.StorageFailed, errors.Corrupted)):
        spellkeep.open(tmp_path / "s", **SMALL)  # type: ignore[arg-type]
    assert (elsewhere.read_bytes() if elsewhere.is_file() else b"") == content
    assert not (tmp_path / "nothing").exists()
    # It was refused, not harmed.
    place.unlink()
    elsewhere.rename(place)
    _holds(tmp_path / "s")


@pytest.mark.parametrize("name", ["MANIFEST.tmp", "ring.tmp", "snapshots/a.rows.tmp", "snapshots/b.rows.tmp"])
def test_a_link_in_place_of_a_temporary_file_is_removed_and_not_followed(name: str, tmp_path: Path) -> None:
    _make(tmp_path / "s")
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "s" / name).symlink_to(tmp_path / "precious")
    _holds(tmp_path / "s")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "s" / name).is_symlink()


@pytest.mark.parametrize("name", ["snapshots", "segments", "MANIFEST", "ring", "LOCK", "snapshots/a.rows"])
def test_a_file_for_a_directory_or_a_directory_for_a_file_is_refused(name: str, tmp_path: Path) -> None:
    _make(tmp_path / "s")
    place, elsewhere = tmp_path / "s" / name, tmp_path / "elsewhere"
    place.rename(elsewhere)
    if elsewhere.is_dir():
        place.write_bytes(b"precious")
    else:
        place.mkdir()
    with pytest.raises((errors.StorageFailed, errors.Corrupted)):
        spellkeep.open(tmp_path / "s", **SMALL)  # type: ignore[arg-type]
    if place.is_dir():
        place.rmdir()
    else:
        assert place.read_bytes() == b"precious"
        place.unlink()
    elsewhere.rename(place)
    _holds(tmp_path / "s")


def test_a_directory_that_others_may_write_to_is_used_and_its_files_stay_private(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o777)
    _make(tmp_path / "s")
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o777
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    _holds(tmp_path / "s")


def test_a_second_name_of_a_file_does_not_disturb_the_store_that_it_belongs_to(tmp_path: Path) -> None:
    _make(tmp_path / "s")
    (tmp_path / "second").mkdir()
    files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
    for file in files:
        os.link(file, tmp_path / "second" / file.name)
    _holds(tmp_path / "s")
    for file in (tmp_path / "second").iterdir():
        file.unlink()
    _holds(tmp_path / "s")


@pytest.mark.parametrize("pid", ["1", str(2**22 - 1), "", "not a number"])
def test_a_lock_file_that_names_another_process_locks_nobody_out(pid: str, tmp_path: Path) -> None:
    _make(tmp_path / "s")
    (tmp_path / "s" / "LOCK").write_text(pid)
    _holds(tmp_path / "s")
    with spellkeep.open(tmp_path / "s", **SMALL):  # type: ignore[arg-type]
        assert (tmp_path / "s" / "LOCK").read_text() == f"{os.getpid()}\n"
