"""More than memory holds: ``python benches/scale.py``. Takes 40 GB of disk; not part of ``make bench``."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import spellkeep as sk
from rivals import machine
from rivals.alone import finish, options
from rivals.results import Goal, Results

# Keys and bytes of a value: many small ones, and 10 GB.
CASES = {"10 M keys": (10_000_000, 100), "10 GB": (1_000_000, 10_000)}
_BUDGET_BYTES = 64 << 20
_READS = 20_000
_SCOPE = sk.StateScope.agent("bench")


def _value(number: int, size_bytes: int) -> bytes:
    return random.Random(number).randbytes(16) * (size_bytes // 16)


def _anonymous_bytes() -> int:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) << 10


def _read(state: sk.StateManager, key_count: int, size_bytes: int) -> float:
    """Microseconds for a value that is read back, each compared."""
    handle, dice, total_s = state.scope(_SCOPE), random.Random(7), 0.0
    for _ in range(_READS):
        number = dice.randrange(key_count)
        begun = perf_counter()
        found = handle.get(f"key-{number}")
        total_s += perf_counter() - begun
        if found != _value(number, size_bytes):
            raise SystemExit(f"key-{number} is not what was written")
    return total_s / _READS * 1e6


def _step(folder: str, fill: bool, key_count: int, size_bytes: int) -> dict[str, float]:
    """In a process of its own: open the store, write it if `fill` says so, read values back."""
    before, begun = _anonymous_bytes(), perf_counter()
    with sk.open(folder, memory_budget_bytes=_BUDGET_BYTES) as state:
        handle = state.scope(_SCOPE)
        for number in range(key_count if fill else 0):
            handle[f"key-{number}"] = _value(number, size_bytes)
        took_s = perf_counter() - begun
        if fill:
            state.checkpoint()
            state.checkpoint()
        memory = _anonymous_bytes() - before
        if len(handle) != key_count:
            raise SystemExit("keys are missing")
        return {"took_s": took_s, "memory": memory, "read_us": _read(state, key_count, size_bytes)}


def _run(folder: Path, step: str, key_count: int, size_bytes: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--step", step, str(folder), str(key_count), str(size_bytes)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)  # type: ignore[no-any-return]


def measure(folder: Path, case: str, key_count: int, size_bytes: int) -> list[Goal]:
    """Fill a store whose values may take 64 MiB of memory, read some back; open it again, and read again."""
    filled = _run(folder, "fill", key_count, size_bytes)
    opened = _run(folder, "open", key_count, size_bytes)
    disk = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    data = key_count * size_bytes
    # Keys stay: at most 120 bytes and the key each, beside the budget and 64 MiB for everything else.
    bound = key_count * (120 + 12) + _BUDGET_BYTES + (64 << 20)
    kept = f"{key_count:,} values of {size_bytes:,} B, {data / 1e9:.1f} GB, of which 64 MiB may be in memory"
    return [
        Goal(
            f"{case}: memory", f"growth of the process's own memory; {kept}", filled["memory"] / 1e6, "MB", bound / 1e6
        ),
        Goal(
            f"{case}: memory, opened again", "the same, in another process", opened["memory"] / 1e6, "MB", bound / 1e6
        ),
        Goal(f"{case}: filled", "time to write them", filled["took_s"], "s"),
        Goal(f"{case}: opened again", "from open() on", opened["took_s"], "s"),
        Goal(f"{case}: a value", f"mean of {_READS:,} gets of any of them, compared", opened["read_us"], "us"),
        Goal(f"{case}: disk", "blocks of the directory over the values", disk / data, "ratio"),
    ]


def main() -> int:
    """Measure and write."""
    parser = options("Stores larger than memory is meant to be.", quick="a fiftieth of it")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        step, folder, key_count, size_bytes = chosen.step
        print(json.dumps(_step(folder, step == "fill", int(key_count), int(size_bytes))))
        return 0
    method = (
        "One process fills a store and reads values back at random, each compared; another opens it and does so again."
    )
    results = Results("scale", "More than memory holds", method, machine.describe(chosen.folder))
    for case, (key_count, size_bytes) in CASES.items():
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
            count = key_count // 50 if chosen.quick else key_count
            results.goals += measure(Path(made) / "store", case, count, size_bytes)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
