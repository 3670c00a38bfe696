"""A few power cuts, where the machine can make them. The long form is `make powercut`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from crash.child import environment
from powercut.lie import can_lie

pytestmark = pytest.mark.timeout(600)


def _cut(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # No loss is too old here: a machine that is busy with other tests syncs late.
    done = subprocess.run(
        [sys.executable, "-m", "powercut", "--fs", "ext4", "--grace-ms", "600000", *arguments],
        capture_output=True,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
    )
    if skipped := re.search(r"SKIPPED: .*", done.stdout):
        pytest.skip(skipped.group())
    return done


def test_power_cuts_lose_nothing_that_the_durability_word_promises(tmp_path: Path) -> None:
    done = _cut(tmp_path, "--cuts", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def test_power_cuts_leave_agents_with_whole_steps_in_order_and_with_all_that_the_word_promises(tmp_path: Path) -> None:
    done = _cut(tmp_path, "--agents", "--words", "interval,sync", "--cuts", "8")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not can_lie(), reason="the system calls of this machine are not known here")
def test_saves_of_agents_that_no_sync_made_durable_are_missed(tmp_path: Path) -> None:
    done = _cut(tmp_path, "--agents", "--words", "sync", "--cuts", "40", "--lie")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"ext4, sync: (lost|wrong): ", done.stdout)


@pytest.mark.skipif(not can_lie(), reason="the system calls of this machine are not known here")
@pytest.mark.parametrize("word", ["process", "interval", "sync"])
def test_syncs_that_do_nothing_are_noticed_under_each_word(word: str, tmp_path: Path) -> None:
    # A cut so early that nothing was acknowledged shows nothing. The first that shows something is the last.
    done = _cut(tmp_path, "--words", word, "--cuts", "40", "--lie")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"ext4, {word}: (lost|wrong): ", done.stdout)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    if _cut(tmp_path, "--cuts", "0").returncode:
        pytest.fail("an empty run finds nothing")
    running = subprocess.Popen(
        [sys.executable, "-m", "powercut", "--fs", "ext4", "--cuts", "10000"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(TMPDIR=str(tmp_path)),
    )
    with running:
        assert running.stdout is not None
        running.stdout.readline()
        try:
            running.wait(timeout=1)
        except subprocess.TimeoutExpired:
            running.terminate()
    assert running.returncode == 143
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
