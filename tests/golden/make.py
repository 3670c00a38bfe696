"""Make the golden store of the format that this build writes: ``python tests/golden/make.py tests/golden/vN``.

It holds every kind of record and of value. Run once per format version; every later build must read the result
(test_golden.py), so a folder that is there is never made again: v1 was made by this script as it was then.
"""

import datetime as dt
import decimal
import enum
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

import numpy as np

import spellkeep as sk
from spellkeep import StateClass, StateScope

SCOUT = StateScope.agent("scout")
CLEARED = StateScope.session("over")
ANNAS = StateScope.user("anna")
SCOPES = [
    StateScope.GLOBAL,
    StateScope.user("ada"),
    StateScope.session("s 1"),
    SCOUT,
    StateScope.tool("search"),
    StateScope.workflow("wf"),
    StateScope.step("wf", "s/1"),
    StateScope.custom("größe"),
]

# As long as a time to live can be: it is read for a hundred years.
TTL_S = 3_155_760_000
# Long enough for a footer with a table.
LONG_LIST = [{"role": "user", "content": f"message {i}"} for i in range(100)]
# Half of the ring is as much as one commit takes of it: this goes straight to a segment.
LARGE = "x" * 32_800
# Of the sealed values, so that every later build opens them.
SEALING_KEY = bytes(range(32))
SEALED = {"diagnosis": "hay fever", "numbers": list(range(100))}
# What this script calls itself with.
KILLED = "--killed"


class Colour(enum.Enum):
    """Registered under a tag, so that the store holds a tagged object."""

    RED = 1


def values() -> dict[str, Any]:
    """One value of each type that the format has."""
    zone = dt.timezone(dt.timedelta(hours=2), "CEST")
    return {
        "none": None,
        "bools": [True, False],
        "integers": [0, -1, 127, -(2**63), 2**64 - 1, 2**200, -(2**200)],
        "floats": [0.5, -0.0, 1e308, float("inf")],
        "strings": ["", "ä€𝄞", "lone \ud800 surrogate", "x" * 300],
        "bytes": [b"", b"\x00\xff", bytearray(b"mutable")],
        "nested": {"a": {"b": [1, (2, 3), {4, 5}, frozenset({6})]}, 7: "integer key"},
        "times": [
            dt.datetime(2026, 11, 22, 12, 30, 15, 250, zone),
            dt.datetime(2026, 11, 22, fold=1),
            dt.date(2026, 11, 22),
            dt.time(23, 59, 59),
            dt.timedelta(days=-1, microseconds=5),
        ],
        "numbers": [decimal.Decimal("1.10"), 1 + 2j, uuid.UUID(int=2**100)],
        "arrays": [np.arange(6, dtype="<i4").reshape(2, 3), np.float32(1.5)],
        "enum": Colour.RED,
        "long list": LONG_LIST,
        "long dict": {f"field {i}": i for i in range(100)},
    }


def write(folder: pathlib.Path, elsewhere: pathlib.Path) -> None:
    """Make the store in ``folder``: what its log has let go, what its snapshot has too, a power loss, and the rest.

    Args:
        elsewhere: on another file system, so that a copy there looks like the store after a power loss.
    """
    sk.register(Colour, tag="golden.colour")
    with sk.open(folder, ring_bytes=65536, segment_bytes=65536, keep_log_bytes=0) as state:
        # Enough for a segment of its own, which goes.
        state.set(SCOUT, "older than the log", "x" * 70_000)
        state.set(SCOUT, "older than the log", {"kept": "by the snapshot alone"}, ttl_s=TTL_S)
        state.checkpoint()
    with sk.open(folder, ring_bytes=65536, segment_bytes=65536, sealing_keys=[SEALING_KEY]) as state:
        for name, value in values().items():
            state.set(SCOUT, name, value)
        for scope in SCOPES:
            state.set(scope, "here", str(scope))
        state.set(SCOUT, "trusted", [1], state_class=StateClass.TRUSTED)
        state.set(SCOUT, "sealed", SEALED, state_class=StateClass.SENSITIVE)
        state.set(SCOUT, "external", [1], state_class=StateClass.EXTERNAL)
        state.set(SCOUT, "twice", 1)
        state.set(SCOUT, "twice", 2)
        state.set(SCOUT, "deleted", 1)
        state.delete(SCOUT, "deleted")
        state.set(CLEARED, "gone", 1)
        state.clear_scope(CLEARED)
        state.set(SCOUT, "expires", "in 2126", ttl_s=TTL_S)
        set_and_let_expire(state, "expired")
        state.checkpoint()
    subprocess.run([sys.executable, __file__, KILLED, str(folder)], check=False)
    shutil.copytree(folder, elsewhere)
    with sk.open(elsewhere, ring_bytes=65536, segment_bytes=65536, sealing_keys=[SEALING_KEY]) as state:
        if not state.recovery.skipped_count:
            sys.exit(f"{elsewhere} is on the same file system as {folder}")
        with state.batch() as batch:
            batch.set(SCOUT, "in a batch", [1])
            batch.set(CLEARED, "set after the clear", [2])
            batch.delete(StateScope.tool("search"), "here")
        set_and_let_expire(state, "expired later")
        state.set(SCOUT, "expires", "in 2126, too", ttl_s=TTL_S)
        state.set(SCOUT, "larger than the ring", LARGE)
        write_from_somewhere(state)
        state.set(ANNAS, "sealed", SEALED, state_class=StateClass.SENSITIVE)
        state.set(SCOUT, "last", "done")
    shutil.rmtree(folder)
    shutil.copytree(elsewhere, folder)


def write_from_somewhere(state: sk.StateManager) -> None:
    """One record of each kind that can say where it comes from, with all that it can say; events, with and without."""
    with sk.correlate("req-42", actor="anna", tags=("billing", "größe"), cause=2**63):
        state.set(SCOUT, "from somewhere", 1)
        state.set(SCOUT, "from somewhere", 2, ttl_s=TTL_S)
        state.set(ANNAS, "deleted", 1)
        state.delete(ANNAS, "deleted")
        state.set(ANNAS, "cleared", 1)
        state.clear_scope(ANNAS)
        with state.events.span("tool.called", {"tool": "search"}, scope=SCOUT):
            state.set(SCOUT, "caused", "by the event")
    state.events.emit("from somewhere", scope=SCOUT)


def be_killed(folder: pathlib.Path) -> None:
    """Write, and end without closing."""
    state = sk.open(folder, ring_bytes=65536, segment_bytes=65536)
    state.set(SCOUT, "before the power went", "flushed")
    state.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def set_and_let_expire(state: sk.StateManager, key: str) -> None:
    """Set it, and wait until the background thread has recorded that it expired."""
    version = state.set(SCOUT, key, "for a moment", ttl_s=0.01)
    while state.last_version == version:
        time.sleep(0.01)


if __name__ == "__main__":
    if sys.argv[1] == KILLED:
        be_killed(pathlib.Path(sys.argv[2]))
    target = pathlib.Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} is there already: a golden store is made once")
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        write(target, pathlib.Path(memory) / "store")
    (target / "LOCK").unlink()
    # Either snapshot may be gone, and the other one is the same.
    (target / "snapshots" / "b.rows").unlink()
    shutil.rmtree(target / "__pycache__", ignore_errors=True)
