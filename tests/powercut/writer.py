"""The process whose power goes: ``python -m powercut.writer SETTINGS``, where SETTINGS is JSON.

As crash.writer, and with each acknowledgement: when it came, what the store called durable then, and between which
versions the operation lies. Calls that fail end their thread: the parent knows when the power went.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import spellkeep
from crash.ops import Op, next_op
from crash.writer import based_on_now, perform
from powercut.lie import lie_about_syncs
from spellkeep import StateManager

# Longer writes to a pipe may be cut by a kill.
_PIPE_BUF = 4096
_FLUSHES = 0.02


def next_step(rng: random.Random, thread: int, mark: str, ring_bytes: int) -> Op:
    """What the thread does next: mostly as crash.ops has it, and now and then a flush."""
    return Op("flush") if rng.random() < _FLUSHES else next_op(rng, thread, mark, ring_bytes)


def take(state: StateManager, op: Op) -> Any:
    """Do it. Returns: as crash.writer.perform; of a flush nothing, for the durable version is told anyway."""
    if op.kind == "flush":
        state.flush()
        return None
    return perform(state, op)


def durable_record(state: StateManager) -> int:
    """The last record that is called durable. The watermark may be a version that the opening left out."""
    recovery = state.recovery
    durable = state.durable_version
    left_out = recovery.skipped_count and durable <= recovery.last_version + recovery.skipped_count + 1
    return recovery.last_version if left_out else durable


class Writer(threading.Thread):
    """One of the threads that write."""

    def __init__(self, state: StateManager, settings: dict[str, Any], number: int) -> None:
        super().__init__(daemon=True)
        self.state, self.settings, self.number = state, settings, number

    def _say(self, *what: Any) -> None:
        line = json.dumps([self.number, *what], separators=(",", ":")).encode() + b"\n"
        assert len(line) <= _PIPE_BUF, "a longer line could be torn"
        os.write(self.settings["pipe"], line)

    def run(self) -> None:
        """Write until the power goes."""
        settings = self.settings
        rng = random.Random(f"{settings['seed']}/{settings['life']}/{self.number}")
        count = 0
        while True:
            count += 1
            op = next_step(rng, self.number, f"{settings['life']}-{self.number}-{count}", settings["ring_bytes"])
            if op.kind == "cas":
                op = based_on_now(self.state, op)
            if not self._do(op, partial(take, self.state, op)):
                return

    def _do(self, op: Op, call: Callable[[], Any]) -> bool:
        """Say what is done, do it, and say what came back. Whether anything did."""
        self._say("does", op.to_plain())
        before = self.state.last_version
        try:
            result = call()
        except spellkeep.errors.StateError as failure:
            self._say("failed", f"{type(failure).__name__}: {failure}"[:500], time.monotonic_ns())
            return False
        durable, upto = durable_record(self.state), self.state.last_version
        # Last, so that what was told before the power went was true before it went.
        self._say("done", result, time.monotonic_ns(), durable, before, upto)
        return True


def main(kind: type[Writer] = Writer) -> None:
    """Write until killed."""
    settings = json.loads(sys.argv[1])
    sys.setswitchinterval(random.Random(settings["life"]).choice([5e-3, 500e-6, 50e-6]))
    first = settings["first_thread"]
    try:
        state = spellkeep.open(
            settings["store"],
            durability=settings["durability"],
            interval_ms=settings["interval_ms"],
            ring_bytes=settings["ring_bytes"],
            segment_bytes=settings["segment_bytes"],
            keep_log_bytes=None,
            mapped_ring=settings["mapped_ring"],
        )
    except spellkeep.errors.StateError as failure:
        said: list[Any] = [first, "failed", f"{type(failure).__name__}: {failure}"[:500], time.monotonic_ns()]
        os.write(settings["pipe"], json.dumps(said).encode() + b"\n")
    else:
        if settings["lies"]:
            lie_about_syncs()
        os.write(
            settings["pipe"], json.dumps([first, "ready", durable_record(state), time.monotonic_ns()]).encode() + b"\n"
        )
        for number in range(first, first + settings["threads"]):
            kind(state, settings, number).start()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
