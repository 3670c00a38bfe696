"""`state.recovery`: what the opening found after a clean close, after a kill, and after damage."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL: dict[str, Any] = {"ring_bytes": 65536, "segment_bytes": 65536}

WRITER = """
    import sys, spellkeep as sk
    from spellkeep import StateScope
    path, durability, mapped, count = sys.argv[1], sys.argv[2], sys.argv[3] == "mapped", int(sys.argv[4])
    small = dict(ring_bytes=65536, segment_bytes=65536, interval_ms=60_000)
    state = sk.open(path, durability=durability, mapped_ring=mapped, **small)
    for number in range(count):
        version = state.set(StateScope.agent("scout"), f"{number % 7}", {"number": number, "fill": "x" * 100})
        print(version, flush=True)
    with state.batch() as batch:
        batch.set(StateScope.GLOBAL, "a", 1)
        batch.set(StateScope.GLOBAL, "b", 2)
    print(batch.versions[-1], flush=True)
    state.delete(StateScope.GLOBAL, "b")
    print(state.last_version, "done", flush=True)
    sys.stdin.read()
"""


def killed_after(path: Path, durability: str, ring: str, count: int) -> int:
    """Writes in a process that is killed right after its last acknowledgement; gives the last version it was told."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path), durability, ring, str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line.endswith("done\n"):
                os.kill(child.pid, signal.SIGKILL)
                return int(line.split()[0])
    pytest.fail("the writer ended by itself")


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file with a hash of its bytes. LOCK holds the process id of whoever came last.

    What a kill left under a temporary name is no part of the store, and the next opening removes it.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "LOCK" and path.suffix != ".tmp"
    }


def test_a_new_store_found_nothing(tmp_path: Path) -> None:
    for path in ("memory:", tmp_path / "s"):
        with sk.open(path) as state:
            found = state.recovery
            assert (found.clean, found.record_count, found.ring_record_count, found.last_version) == (True, 0, 0, 0)
            assert (found.cut_bytes, found.cut_reason, found.lost_count) == (0, None, 0)
            assert found.duration_ms >= 0


def test_after_a_clean_close_every_record_is_read_and_none_from_the_ring(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", **SMALL) as state:
        for number in range(100):
            state.set(SCOUT, "a", number)
        state.delete(SCOUT, "a")
        state.set(SCOUT, "b", b"x" * 200_000)
        state.clear_scope(SCOUT)
    files = len(segments(tmp_path / "s"))
    with sk.open(tmp_path / "s", **SMALL) as state:
        found = state.recovery
        assert (found.clean, found.record_count, found.ring_record_count, found.last_version) == (True, 103, 0, 103)
        assert (found.cut_bytes, found.cut_reason, found.lost_count) == (0, None, 0)
        assert found.segment_count == files


def test_the_report_stays_what_it_was_when_the_store_goes_on_and_closes(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    before = state.recovery
    state.set(SCOUT, "a", 1)
    assert state.recovery == before
    state.close()
    assert state.recovery == before
    with pytest.raises(AttributeError):
        before.clean = False  # type: ignore[misc]


@pytest.mark.parametrize("count", [0, 50, 2000])
@pytest.mark.parametrize("ring", ["mapped", "unmapped"])
@pytest.mark.parametrize("durability", ["process", "interval", "sync"])
def test_after_a_kill_everything_acknowledged_is_there_and_counted(
    tmp_path: Path, durability: str, ring: str, count: int
) -> None:
    if durability == "sync" and count > 100:
        count = 100  # each write is a sync
    last = killed_after(tmp_path / "s", durability, ring, count)
    with sk.open(tmp_path / "s", **SMALL) as state:
        found = state.recovery
        assert (found.clean, found.record_count, found.last_version) == (False, last, last)
        assert (found.cut_bytes, found.cut_reason, found.lost_count) == (0, None, 0)
        assert 0 <= found.ring_record_count <= last
        assert dict(state.items(StateScope.GLOBAL)) == {"a": 1}
        assert {key: state.get(SCOUT, key)["number"] for key in state.list_keys(SCOUT)} == {
            f"{number % 7}": number for number in range(count)
        }
        assert [change.version for change in state.changes()] == list(range(1, last + 1))
        assert state.set(SCOUT, "after", 1) == last + 1
    with sk.open(tmp_path / "s", **SMALL) as state:
        assert (state.recovery.clean, state.recovery.last_version) == (True, last + 1)


def test_a_store_that_is_killed_again_and_again_keeps_all_of_it(tmp_path: Path) -> None:
    last = 0
    for _ in range(4):
        reached = killed_after(tmp_path / "s", "process", "mapped", 30)
        assert reached == last + 33
        last = reached
    with sk.open(tmp_path / "s", **SMALL) as state:
        assert (state.recovery.record_count, state.recovery.last_version) == (last, last)


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "segments").iterdir())


@pytest.mark.parametrize("place", [0.02, 0.3, 0.7])
@pytest.mark.parametrize("end", ["clean", "killed"])
def test_a_flipped_bit_in_a_sealed_segment_is_named_and_nothing_is_changed(
    tmp_path: Path, place: float, end: str
) -> None:
    # SQLite's hot log and RocksDB's default drop every later commit over one flipped bit, and say nothing.
    folder = tmp_path / "s"
    if end == "clean":
        with sk.open(folder, **SMALL) as state:
            for number in range(1000):
                state.set(SCOUT, f"{number % 7}", {"number": number, "fill": "x" * 200})
    else:
        killed_after(folder, "process", "mapped", 3000)
    damaged = segments(folder)[1]
    content = bytearray(damaged.read_bytes())
    # Behind its records lies space that was allocated ahead.
    at = int(len(content.rstrip(b"\0")) * place)
    content[at] ^= 0x10
    damaged.write_bytes(content)
    before = fingerprint(folder)
    for _ in range(2):
        with pytest.raises(errors.Corrupted) as caught:
            sk.open(folder, **SMALL)
        error = caught.value
        assert error.code == "log.damaged"
        assert error.file == str(damaged)
        assert error.offset is not None
        # The record that holds the byte, or the byte itself.
        assert at - 1000 <= error.offset <= at
        assert error.last_good_version is not None
        assert 0 < error.last_good_version < 3000
        assert damaged.name in str(error)
        assert fingerprint(folder) == before
    content[at] ^= 0x10
    damaged.write_bytes(content)
    with sk.open(folder, **SMALL) as state:
        assert state.recovery.last_version > 900


def filled(folder: Path) -> list[Path]:
    """A closed store of three segments and 1,000 versions."""
    with sk.open(folder, **SMALL) as state:
        for number in range(1000):
            state.set(SCOUT, f"{number % 7}", f"{number:4}" * 50)
    return segments(folder)


@pytest.mark.parametrize("which", [0, 1])
def test_a_segment_that_is_missing_is_damage_and_nothing_is_changed(tmp_path: Path, which: int) -> None:
    missing = filled(tmp_path / "s")[which]
    kept = missing.read_bytes()
    missing.unlink()
    before = fingerprint(tmp_path / "s")
    for _ in range(3):
        with pytest.raises(errors.Corrupted):
            sk.open(tmp_path / "s", **SMALL)
        assert fingerprint(tmp_path / "s") == before
    missing.write_bytes(kept)
    with sk.open(tmp_path / "s", **SMALL) as state:
        assert state.recovery.last_version == 1000


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_what_the_ring_still_holds_mends_the_last_segment_and_is_counted(tmp_path: Path, harm: str) -> None:
    values = [f"{number:4}" * 50 for number in range(100)]
    with sk.open(tmp_path / "s", **SMALL) as state:
        for value in values:
            state.set(SCOUT, "a", value)
    (last,) = segments(tmp_path / "s")
    content = bytearray(last.read_bytes())
    if harm == "cut":
        last.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0x10
        last.write_bytes(content)
    for opening in range(2):
        with sk.open(tmp_path / "s", **SMALL) as state:
            assert state.recovery.last_version == 100
            assert (state.recovery.ring_record_count > 0) == (opening == 0)
            assert [change.value for change in state.changes()] == values


def test_a_manifest_that_is_damaged_or_missing_is_damage(tmp_path: Path) -> None:
    filled(tmp_path / "s")
    manifest = tmp_path / "s" / "MANIFEST"
    kept = manifest.read_bytes()
    for at in range(0, len(kept), 7):
        manifest.write_bytes(kept[:at] + bytes([kept[at] ^ 4]) + kept[at + 1 :])
        with pytest.raises(errors.Corrupted):
            sk.open(tmp_path / "s", **SMALL)
    manifest.unlink()
    with pytest.raises(errors.Corrupted, match="MANIFEST"):
        sk.open(tmp_path / "s", **SMALL)
    manifest.write_bytes(kept)
    with sk.open(tmp_path / "s", **SMALL) as state:
        assert len(state.scope(SCOUT)) == 7


def test_damage_that_appears_while_the_store_is_open_is_found_when_history_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with sk.open(folder, **SMALL) as state:
        state.set(SCOUT, "a", "y" * 1000)
        state.set(SCOUT, "a", 2)
        for number in range(1000):
            state.set(SCOUT, "fill", f"{number}" * 100)
        state.flush()
        target = segments(folder)[0]
        content = target.read_bytes()
        with target.open("r+b") as file:
            file.seek(content.index(b"y" * 100))
            file.write(b"z")
        with pytest.raises(errors.Corrupted) as caught:
            state.history(SCOUT, "a")
        assert caught.value.file == str(target)
        with pytest.raises(errors.Corrupted):
            list(state.changes())
        # What is in memory is whole, and writing goes on.
        assert state.get(SCOUT, "a") == 2
        assert state.set(SCOUT, "a", 3) == state.last_version
