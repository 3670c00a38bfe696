"""One opener at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import spellkeep
from crash.child import PREAMBLE, run
from spellkeep import StateScope, errors


def test_a_second_opener_in_this_process_is_told_its_own_pid(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path) as state:
        with pytest.raises(errors.StoreLocked) as caught:
            spellkeep.open(tmp_path)
        assert (caught.value.code, caught.value.pid) == ("store.locked", os.getpid())
        assert isinstance(caught.value, TimeoutError)
        # The refused opener took nothing away from the first.
        state.set(StateScope.GLOBAL, "k", 1)
    with spellkeep.open(tmp_path) as state:
        assert state.get(StateScope.GLOBAL, "k") == 1


def test_a_closed_store_is_free_while_a_process_that_is_being_started_still_has_its_files(tmp_path: Path) -> None:
    """Between fork and exec a child has every descriptor; a store closed and reopened meanwhile was `StoreLocked`."""
    state = spellkeep.open(tmp_path)
    names = {int(fd): os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
    child_has = os.dup(next(fd for fd, name in names.items() if name == str(tmp_path / "LOCK")))
    try:
        state.close()
        spellkeep.open(tmp_path).close()
    finally:
        os.close(child_has)


def test_another_name_of_the_directory_is_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "link").symlink_to("s")
    with spellkeep.open(tmp_path / "s"), pytest.raises(errors.StoreLocked):
        spellkeep.open(tmp_path / "link")


def test_a_second_opener_in_another_process_is_told_the_owners_pid(tmp_path: Path) -> None:
    script = """
    try:
        spellkeep.open(store)
    except errors.StoreLocked as error:
        print(error.code, error.pid)
    """
    with spellkeep.open(tmp_path):
        assert run(script, tmp_path).stdout == f"store.locked {os.getpid()}\n"
    assert run(script, tmp_path).stdout == ""


def test_a_killed_owner_leaves_no_lock_behind(tmp_path: Path) -> None:
    script = PREAMBLE + "state = spellkeep.open(store)\nprint(os.getpid(), flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == f"{owner.pid}\n"
        with pytest.raises(errors.StoreLocked) as caught:
            spellkeep.open(tmp_path)
        assert caught.value.pid == owner.pid
        owner.kill()
    spellkeep.open(tmp_path).close()
