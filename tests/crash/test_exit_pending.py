"""The end of a process that still has work to do: checkpoints, expiries, other threads, an event loop."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")

BEGIN = """
import asyncio, threading, time
state = spellkeep.open(store, durability="interval", interval_ms=60_000, segment_bytes=1 << 20)
# The background thread goes to sleep: nothing of what follows is durable for a minute.
time.sleep(0.05)
for number in range(2000):
    state.set(scout, f"k{number}", number)
state.set(scout, "short", 1, ttl_s=0.2)
"""

# How it ends, and its exit code.
ENDS = {
    "the end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an unhandled exception": ("raise RuntimeError('on purpose')", 1),
    "sys.exit in another thread": ("threading.Thread(target=sys.exit, args=(5,)).start()", 0),
    "an exception in another thread": ("threading.Thread(target=lambda: 1 / 0).start()", 0),
    "an event loop that is running": (
        """
async def main():
    asyncio.create_task(state.aflush())
    asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    sys.exit(4)
asyncio.run(main())
""",
        4,
    ),
    "an event loop that nobody stopped": (
        """
async def main():
    await state.aset(scout, "k0", 0)
    await asyncio.sleep(60)
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True).start()
time.sleep(0.05)
""",
        0,
    ),
    "a checkpoint in another thread": (
        """
def checkpoints():
    try:
        while True:
            state.checkpoint()
            state.set(scout, "fill", bytes(3 << 20))
    except errors.Closed:
        pass
threading.Thread(target=checkpoints, daemon=True).start()
time.sleep(0.1)
""",
        0,
    ),
    "a checkpoint in the background": (
        """
for _ in range(12):
    state.set(scout, "fill", bytes(4 << 20))
""",
        0,
    ),
    "the end of the main thread first": (
        """
def later():
    time.sleep(0.1)
    state.set(scout, "k0", 0)
threading.Thread(target=later).start()
""",
        0,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_exit_with_work_under_way_makes_every_write_durable(end: str, tmp_path: Path) -> None:
    script, code = ENDS[end]
    done = run(BEGIN + script, tmp_path / "s")
    assert done.returncode == code, done.stderr
    if "exception" not in end and "nobody stopped" not in end:
        assert done.stderr == ""
    with spellkeep.open(tmp_path / "s") as state:
        # Closed: nothing had to be found in the ring, and what was synced is all that there is.
        assert state.recovery.clean
        assert state.recovery.ring_record_count == 0
        assert not state.recovery.snapshot_damage
        assert dict(state.items(SCOUT, "k")) == {f"k{number}": number for number in range(2000)}


def test_an_end_without_any_farewell_during_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    script = """
def checkpoints():
    while True:
        state.set(scout, "fill", bytes(3 << 20))
        state.checkpoint()
threading.Thread(target=checkpoints, daemon=True).start()
time.sleep(0.15)
state.set(scout, "last", 1)
os._exit(7)
"""
    done = run(BEGIN + script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (7, "")
    with spellkeep.open(tmp_path / "s") as state:
        assert len(state.list_keys(SCOUT, "k")) == 2000
        assert state.get(SCOUT, "last") == 1


def test_stores_that_a_daemon_thread_opens_at_exit_do_not_keep_others_from_being_closed(tmp_path: Path) -> None:
    script = """
import threading
states = [spellkeep.open(f"{store}{number}", ring_bytes=65536, segment_bytes=65536) for number in range(8)]
more = []
def open_more():
    more.append(spellkeep.open("memory:", ring_bytes=65536, segment_bytes=65536))
    more[-1].close()
for _ in range(100):
    open_more()
for state in states:
    state.set(scout, "a", 1)
def keep_opening():
    while True:
        open_more()
threading.Thread(target=keep_opening, daemon=True).start()
sys.setswitchinterval(1e-6)
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    for number in range(8):
        with spellkeep.open(tmp_path / f"s{number}") as state:
            assert state.recovery.clean
