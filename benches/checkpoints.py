"""What a checkpoint takes: time, processor and disk: ``python benches/checkpoints.py --json FILE``."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import spellkeep
from rivals import machine
from rivals.alone import finish, options
from rivals.results import Goal, Results
from spellkeep import StateScope

REPEATS = 7
# Bytes of a value, keys, sets before each checkpoint.
CASES = {
    "100 keys of 10 KB": (10_000, 100, 1_600),
    "1,000 keys of 1 KB": (1_000, 1_000, 16_000),
    "100,000 keys of 120 B": (120, 100_000, 60_000),
    "100,000 keys of 1 KB": (1_000, 100_000, 16_000),
}


def _io() -> dict[str, int]:
    """Bytes that this process has had written to the disk, and read from files."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(count) for name, count in (line.split(": ") for line in lines)}


def one(folder: Path, size: int, key_count: int, set_count: int) -> dict[str, list[float]]:
    """Fill a store, then set keys by chance and make a checkpoint, again and again; figures of each checkpoint."""
    found: dict[str, list[float]] = {"time": [], "processor": [], "written": [], "read": []}
    chance = random.Random(size)
    with spellkeep.open(folder, checkpoint_log_bytes=1 << 36) as state:
        handle = state.scope(StateScope.agent("scout"))
        for number in range(key_count):
            handle.set(f"key-{number}", chance.randbytes(size))
        state.checkpoint()
        for _ in range(REPEATS):
            for _ in range(set_count):
                handle.set(f"key-{chance.randrange(key_count)}", chance.randbytes(size))
            state.flush()
            io, processor, begun = _io(), process_time(), perf_counter()
            state.checkpoint()
            found["time"].append((perf_counter() - begun) * 1e3)
            found["processor"].append((process_time() - processor) * 1e3)
            found["written"].append((_io()["write_bytes"] - io["write_bytes"]) / 1e6)
            found["read"].append((_io()["rchar"] - io["rchar"]) / 1e6)
    return found


def main() -> int:
    """Measure and write."""
    chosen = options("What a checkpoint takes.", quick="only the small stores").parse_args()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        method = (
            f"A store of so many keys, of which some are set by chance before each checkpoint; medians of {REPEATS}. "
            "Both snapshots are written, synced and read back in that time. Nothing else is written meanwhile."
        )
        results = Results("checkpoints", "Checkpoints", method, machine.describe(folder))
        cases = {name: case for name, case in CASES.items() if not chosen.quick or case[1] <= 1_000}
        for name, (size, key_count, set_count) in cases.items():
            log = f"after {set_count:,} sets, {size * set_count / 1e6:.0f} MB of values"
            for what, figures in one(folder / str(size * key_count), size, key_count, set_count).items():
                unit = "ms" if what in ("time", "processor") else "MB"
                definition = {
                    "time": f"from the call of checkpoint() to its return, {log}",
                    "processor": "of all threads in that time",
                    "written": "to the disk in that time",
                    "read": "from files in that time, most of it from the page cache",
                }[what]
                spread = (min(figures), max(figures))
                title = f"checkpoint of {name}, {what}"
                results.goals.append(Goal(title, definition, statistics.median(figures), unit, spread=spread))
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
