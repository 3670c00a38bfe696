"""The process that is killed: ``python -m crash.writer SETTINGS``, where SETTINGS is JSON.

Each thread says through the pipe what it is about to do, does it, and says what came back. So at most one operation per
thread is uncertain at any moment, and the parent knows which.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from dataclasses import replace
from typing import Any

import spellkeep
from crash.ops import Op, next_op, value_of
from spellkeep import StateManager, StateScope
from spellkeep.errors import Conflict, KeyMissing

# Longer writes to a pipe may be cut by a kill.
_PIPE_BUF = 4096


def perform(state: StateManager, op: Op) -> Any:
    """Do it. Returns: a version, a list of versions, the number of keys removed, or ``conflict``."""
    if op.kind == "clear":
        return state.clear_scope(StateScope.parse(op.scope))
    if op.kind == "batch":
        with state.batch() as batch:
            for write in op.writes:
                scope = StateScope.parse(write.scope)
                if write.mark is None:
                    batch.delete(scope, write.key)
                else:
                    batch.set(scope, write.key, value_of(write.mark, write.size))
        return batch.versions
    (write,) = op.writes
    scope = StateScope.parse(write.scope)
    if write.mark is None:
        return state.delete(scope, write.key)
    try:
        return state.set(scope, write.key, value_of(write.mark, write.size), if_version=write.if_version)
    except Conflict:
        return "conflict"


def based_on_now(state: StateManager, op: Op) -> Op:
    """The compare-and-set, based on the version that is there."""
    (write,) = op.writes
    try:
        version = state.entry(StateScope.parse(write.scope), write.key).version
    except KeyMissing:
        version = 0
    return Op("write", (replace(write, if_version=version),))


class _Thread(threading.Thread):
    def __init__(self, state: StateManager, settings: dict[str, Any], number: int) -> None:
        super().__init__(daemon=True)
        self.state, self.settings, self.number = state, settings, number

    def _say(self, *what: Any) -> None:
        line = json.dumps([self.number, *what], separators=(",", ":")).encode() + b"\n"
        assert len(line) <= _PIPE_BUF, "a longer line could be torn"
        os.write(self.settings["pipe"], line)

    def run(self) -> None:
        settings = self.settings
        rng = random.Random(f"{settings['seed']}/{settings['life']}/{self.number}")
        count = 0
        while True:
            count += 1
            mark = f"{settings['life']}-{self.number}-{count}"
            op = next_op(rng, self.number, mark, settings["ring_bytes"])
            if op.kind == "cas":
                op = based_on_now(self.state, op)
            self._say("does", op.to_plain())
            self._say("done", perform(self.state, op))


def main() -> None:
    """Write until killed."""
    settings = json.loads(sys.argv[1])
    # Threads take turns more or less often, so that kills and conflicts meet every interleaving.
    sys.setswitchinterval(random.Random(settings["life"]).choice([5e-3, 500e-6, 50e-6]))
    state = spellkeep.open(
        settings["store"],
        durability=settings["durability"],
        ring_bytes=settings["ring_bytes"],
        segment_bytes=settings["segment_bytes"],
        keep_log_bytes=None,
    )
    os.write(settings["pipe"], b'[0,"ready"]\n')
    threads = [_Thread(state, settings, number) for number in range(settings["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
