"""`open(path, read_only=True)`: everything can be read, nothing in the directory changes, and a writer may go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")

WRITER = """
    import sys, spellkeep as sk
    from spellkeep import StateScope
    scout = StateScope.agent("scout")
    state = sk.open(sys.argv[1], segment_bytes=65536, ring_bytes=65536, keep_log_bytes=0)
    for number in range(10**9):
        with state.batch() as batch:
            batch.set(scout, "a", number)
            batch.set(scout, "b", {"number": number, "fill": "x" * 200})
        print(batch.versions[-1], flush=True)
        if number % 500 == 499:
            state.checkpoint()
"""


def traces(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below a directory, with the time of its last change and its bytes."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in paths}


def lived(path: Path) -> None:
    with sk.open(path, segment_bytes=65536, keep_log_bytes=0) as state:
        for number in range(900):
            state.set(SCOUT, f"{number % 40}", {"number": number, "fill": "x" * 100})
            if number == 600:
                state.checkpoint()
        state.delete(SCOUT, "7")
        with state.batch() as batch:
            batch.set(StateScope.GLOBAL, "a", 1)
            batch.set(StateScope.GLOBAL, "b", (2, 3))


def killed(path: Path, commits: int = 40) -> int:
    """Leaves a store that was killed; gives the last version that was acknowledged."""
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for number, line in enumerate(child.stdout):
            if number == commits:
                os.kill(child.pid, signal.SIGKILL)
                return int(line)
    pytest.fail("the writer ended by itself")


def test_everything_can_be_read_and_no_file_is_touched(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    before = traces(tmp_path)
    with sk.open(tmp_path / "s", read_only=True) as state:
        assert state.read_only
        assert "read-only" in repr(state)
        assert state.get(SCOUT, "8")["number"] == 888
        assert state.entry(StateScope.GLOBAL, "b").value == (2, 3)
        assert len(state.list_keys(SCOUT)) == 39
        assert state.history(SCOUT, "7")[0].operation == "delete"
        assert list(state.changes())[-1].key == "b"
        assert state.stats().key_count == 41
        assert dict(state.scope(StateScope.GLOBAL)) == {"a": 1, "b": (2, 3)}
        assert not state.recovery.live
    assert traces(tmp_path) == before


def test_a_killed_store_is_shown_to_its_last_acknowledged_version_and_left_as_it_is(tmp_path: Path) -> None:
    last = killed(tmp_path / "s")
    before = traces(tmp_path)
    for _ in range(2):
        with sk.open(tmp_path / "s", read_only=True) as state:
            assert state.last_version >= last
            assert state.get(SCOUT, "a") == state.get(SCOUT, "b")["number"]
            assert not state.recovery.clean
    assert traces(tmp_path) == before


WRITES: dict[str, Callable[[StateManager], object]] = {
    "set": lambda s: s.set(SCOUT, "a", 1),
    "delete": lambda s: s.delete(SCOUT, "8"),
    "delete of nothing": lambda s: s.delete(SCOUT, "nothing"),
    "clear_scope": lambda s: s.clear_scope(SCOUT),
    "flush": lambda s: s.flush(),
    "checkpoint": lambda s: s.checkpoint(),
    "handle": lambda s: s.scope(SCOUT).update(a=1),
    "aset": lambda s: asyncio.run(s.aset(SCOUT, "a", 1)),
    "aflush": lambda s: asyncio.run(s.aflush()),
    "acheckpoint": lambda s: asyncio.run(s.acheckpoint()),
}


def test_every_write_raises_read_only_and_says_what_to_do(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    with sk.open(tmp_path / "s", read_only=True) as state:
        for name, write in WRITES.items():
            with pytest.raises(PermissionError, match="without read_only=True") as caught:
                write(state)
                pytest.fail(name)
            assert isinstance(caught.value, errors.ReadOnly), name
            assert caught.value.code == "store.read_only"
        with pytest.raises(errors.ReadOnly), state.batch() as batch:
            batch.set(SCOUT, "a", 1)
        assert state.get(SCOUT, "8")["number"] == 888


def test_nothing_is_made_where_no_store_is(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(errors.StorageFailed, match="there is no store") as caught:
            sk.open(path, read_only=True)
        assert (caught.value.code, isinstance(caught.value, OSError)) == ("store.missing", True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_another_process_writes_is_shown_as_it_was_at_the_opening(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            for number in range(40):
                for _ in range(60):
                    told = int(child.stdout.readline())
                with sk.open(tmp_path / "s", read_only=True) as state:
                    assert state.recovery.live, number
                    assert state.last_version >= told
                    assert state.get(SCOUT, "a") == state.get(SCOUT, "b")["number"]
                    assert state.entry(SCOUT, "b").version == state.last_version
                    # A checkpoint may have let the log go up to here.
                    assert [c.version for c in state.history(SCOUT, "b", limit=1)] in ([], [state.last_version])
        finally:
            child.kill()


def test_a_writer_can_open_while_readers_come_and_go(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    looking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, spellkeep as sk\nwhile True: sk.open(sys.argv[1], read_only=True).close()",
            str(tmp_path / "s"),
        ]
    )
    try:
        for number in range(100):
            with sk.open(tmp_path / "s") as state:
                state.set(SCOUT, "n", number)
        assert looking.poll() is None
    finally:
        looking.kill()
        looking.wait()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting takes root")
def test_a_store_on_a_read_only_mount_can_be_read(tmp_path: Path) -> None:
    last = killed(tmp_path / "s")
    script = textwrap.dedent(
        """
        set -e
        mount --bind "$1" "$1"
        mount -o remount,bind,ro "$1"
        exec "$2" -c '
        import sys, spellkeep as sk
        state = sk.open(sys.argv[1], read_only=True)
        print(state.last_version)
        try:
            sk.open(sys.argv[1])
        except sk.errors.StorageFailed as error:
            print(error.code)
        ' "$1"
        """
    ).replace("\n        ", "\n")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path / "s"), sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if "permission denied" in done.stderr.lower() or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    version, code = done.stdout.split()
    assert int(version) >= last
    assert code == "storage.read_only"
