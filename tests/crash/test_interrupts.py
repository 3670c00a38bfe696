"""Signals: interrupts, termination, and storms of handlers that run in the middle of system calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import spellkeep
from crash.child import PREAMBLE, environment, run
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")

INTERRUPTED = """
import signal, threading, time
state = spellkeep.open(store, durability=sys.argv[3], segment_bytes=1 << 20)
with state.batch() as filling:
    for number in range(2000):
        filling.set(scout, f"fill {number}", bytes(2000))
filled = state.last_version

def flush(number):
    state.set(scout, "count", number)
    state.flush()

def batch(number):
    with state.batch() as batch:
        batch.set(scout, "count", number)
        batch.set(scout, "twin", number)

def checkpoint(number):
    state.set(scout, "count", number)
    state.checkpoint()

def history(number):
    state.set(scout, "count", number)
    assert len(state.history(scout, "count", limit=1000)) >= 1

def changes(number):
    state.set(scout, "count", number)
    assert sum(1 for _ in state.changes(since=state.last_version - 100)) == 100

call = globals()[sys.argv[2]]
number, seen, longest_s = 0, 0, 0.0
for turn in range(5):
    def interrupt():
        global sent_s
        time.sleep(0.003 + 0.004 * turn)
        sent_s = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
    sender = threading.Thread(target=interrupt)
    try:
        sender.start()
        while True:
            call(number + 1)
            number += 1
    except KeyboardInterrupt:
        longest_s = max(longest_s, time.monotonic() - sent_s)
        seen += 1
    sender.join()
    # What was interrupted is there or not, as a whole, and the next call is as good as ever.
    count = state.get(scout, "count", 0)
    assert count in (number, number + 1), (count, number)
    if call is batch:
        assert state.get(scout, "twin", 0) == count
    number = count
    state.set(scout, "after", turn)
    assert state.flush() == state.last_version
    state.checkpoint()
assert seen == 5 and state.stats().checkpoint_failure is None
print(number, filled, round(longest_s, 1))
"""


@pytest.mark.parametrize(
    ("call", "durability"),
    [
        ("flush", "interval"),
        ("batch", "sync"),
        ("checkpoint", "interval"),
        ("history", "sync"),
        ("changes", "interval"),
    ],
)
def test_an_interrupted_call_leaves_a_store_that_goes_on(call: str, durability: str, tmp_path: Path) -> None:
    done = run(INTERRUPTED, tmp_path / "s", call, durability)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    number, _, longest_s = done.stdout.split()
    assert float(longest_s) < 20
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert (state.get(SCOUT, "count"), state.get(SCOUT, "after")) == (int(number), 4)
        assert len(state.list_keys(SCOUT, "fill")) == 2000


@pytest.mark.parametrize("durability", ["process", "interval", "sync"])
def test_a_termination_during_a_checkpoint_loses_nothing_acknowledged(durability: str, tmp_path: Path) -> None:
    script = """
import threading
state = spellkeep.open(store, durability=sys.argv[2], segment_bytes=65536, keep_log_bytes=0)
def checkpoints():
    while True:
        state.checkpoint()
threading.Thread(target=checkpoints, daemon=True).start()
for number in range(1_000_000):
    state.set(scout, f"k{number % 300}", [number, bytes(500)])
    os.write(1, b"%d\\n" % number)
"""
    command = [sys.executable, "-c", PREAMBLE + script, str(tmp_path / "s"), durability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "0\n"
        time.sleep(0.3)
        os.kill(child.pid, signal.SIGTERM)
        # On a slow disk it came no further than the first.
        acknowledged = int(["0", *child.stdout.read().split()][-1])
        assert child.wait(60) == -signal.SIGTERM
    with spellkeep.open(tmp_path / "s") as state:
        kept = {number for number, _ in (value for _, value in state.items(SCOUT))}
        expected = set(range(max(0, acknowledged - 299), acknowledged + 1))
        # At most the write whose number was not printed any more, in the place of the one 300 before it.
        assert expected - kept <= {acknowledged - 299}
        assert kept - expected <= {acknowledged + 1}
        assert not state.recovery.snapshot_damage


STORM = """
import signal, time
ticks = 0
def tick(*_):
    global ticks
    ticks += 1
signal.signal(signal.SIGALRM, tick)
signal.signal(signal.SIGUSR1, tick)
signal.setitimer(signal.ITIMER_REAL, 0.0004, 0.0004)
number, until = 0, time.monotonic() + 0.7
while time.monotonic() < until:
    with spellkeep.open(store, durability=sys.argv[2], segment_bytes=1 << 20) as state:
        for _ in range(20):
            number += 1
            os.kill(os.getpid(), signal.SIGUSR1)
            state.set(scout, "count", number)
            state.set(scout, "big", bytes(6 << 20))
            state.flush()
            with state.batch() as batch:
                batch.set(scout, "twin", number, ttl_s=60)
                batch.set(scout, "fill", bytes(100_000))
            state.checkpoint()
            assert len(state.history(scout, "count", limit=2)) >= 1
            assert sum(1 for _ in state.changes(since=state.last_version - 3)) == 3
            if time.monotonic() > until:
                break
        assert (state.stats().repair_count, state.stats().checkpoint_failure) == (0, None)
signal.setitimer(signal.ITIMER_REAL, 0)
assert ticks > 5, ticks
print(number)
"""


@pytest.mark.parametrize("durability", ["interval", "sync"])
def test_a_storm_of_signals_makes_no_call_fail(durability: str, tmp_path: Path) -> None:
    done = run(STORM, tmp_path / "s", durability)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert state.get(SCOUT, "count") == state.get(SCOUT, "twin") == int(done.stdout)


@pytest.mark.parametrize("when", ["1", "1+"])
def test_a_signal_during_an_allocation_is_no_failure(when: str, tmp_path: Path) -> None:
    """tmpfs gives an allocation up when a signal comes, and openings and large values failed with `storage.io`."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    script = """
state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536)
for number in range(3):
    state.set(scout, "big", bytes(300_000))
    state.set(scout, "count", number)
state.checkpoint()
state.close()
"""
    inject = (strace, "-f", "-qq", "-o", "/dev/null", "-e", f"inject=fallocate:error=EINTR:when={when}")
    done = run(script, tmp_path / "s", before=inject)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:100]}")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert (state.get(SCOUT, "big"), state.get(SCOUT, "count")) == (bytes(300_000), 2)
