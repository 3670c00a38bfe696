"""How long a store takes to open: ``python benches/reopen.py [--keys 1000000] [--json FILE]``.

One process fills a store and closes it or kills itself; others, one for each repeat, open what it left, note the time
from ``open`` to the first value read, and leave it the way they found it. Files are in the page cache.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
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

CASES = {
    "closed": "closed; from a snapshot",
    "killed": "killed; from a snapshot and the log behind it",
    "log": "killed, and the snapshots deleted by hand; from the log alone",
}
_SCOPE = sk.StateScope.agent("bench")


def _fill(folder: str, case: str, key_count: int) -> None:
    state = sk.open(folder, keep_log_bytes=1 << 40 if case == "log" else 16 << 20)
    handle = state.scope(_SCOPE)
    for number in range(key_count):
        handle[f"key-{number}"] = f"{number:094}"  # 100 bytes: two of format, four of length and tag
    if case == "closed":
        state.close()
    else:
        state.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def _open(folder: str, case: str, key_count: int) -> None:
    if case == "log":
        shutil.rmtree(Path(folder) / "snapshots", ignore_errors=True)
    begun = perf_counter()
    state = sk.open(folder)
    found = state.scope(_SCOPE)[f"key-{key_count - 1}"]
    took_s = perf_counter() - begun
    recovery = state.recovery
    if found != f"{key_count - 1:094}" or state.stats().key_count != key_count or recovery.clean != (case == "closed"):
        raise SystemExit(f"not what was left: {recovery}")
    figures = {"took_s": took_s, "log_records": recovery.record_count, "snapshot_rows": recovery.snapshot_row_count}
    print(json.dumps(figures), flush=True)
    if case == "closed":
        state.close()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _run(step: str, folder: Path, case: str, key_count: int) -> str:
    command = [sys.executable, __file__, "--step", step, str(folder), "--case", case, "--keys", str(key_count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != (0 if case == "closed" else -signal.SIGKILL):
        raise SystemExit(f"{step} ended with {done.returncode}")
    return done.stdout


def measure(folder: Path, case: str, key_count: int, repeats: int) -> dict[str, Any]:
    """Fill once, open `repeats` times after one that is not counted. Returns: what they told, times in seconds."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=folder) as made:
        store = Path(made) / "store"
        _run("fill", store, case, key_count)
        found = [json.loads(_run("open", store, case, key_count)) for _ in range(repeats + 1)][1:]
    rows = found[-1]["log_records"] + found[-1]["snapshot_rows"]
    return {**found[-1], "times_s": sorted(each["took_s"] for each in found), "rows": rows}


def _goals(case: str, figures: dict[str, Any], key_count: int) -> list[Goal]:
    times = figures["times_s"]
    median = statistics.median(times)
    rows = f"{figures['snapshot_rows']:,} rows of a snapshot, {figures['log_records']:,} records of the log"
    definition = f"from open() to the first value read; {key_count:,} keys of 100 B, {CASES[case]}; {rows}"
    spread = (times[0] * 1000, times[-1] * 1000)
    goals = [Goal(f"open, {case}", definition, median * 1000, "ms", 1500.0, spread=spread)]
    if case == "log":
        rates = (figures["rows"] / times[-1], figures["rows"] / times[0])
        definition = "records of the log over the time to open"
        rate = figures["rows"] / median
        goals.append(Goal("records replayed in a second", definition, rate, "count", at_least=1e6, spread=rates))
    return goals


def main() -> int:
    """Measure and write."""
    parser = options("How long a store takes to open.", quick="100,000 keys and 3 openings of each")
    parser.add_argument("--keys", type=int, default=1_000_000, help="with values of 100 bytes (default: 1000000)")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        {"fill": _fill, "open": _open}[chosen.step[0]](chosen.step[1], chosen.case, chosen.keys)
        return 0
    key_count, repeats = (100_000, 3) if chosen.quick else (chosen.keys, 7)
    method = (
        f"One process fills a store of {key_count:,} keys and closes it or kills itself; {repeats} others, after one "
        "that is not counted, each open what it left and leave it as it was. Files are in the page cache."
    )
    results = Results("reopen", "Opening a store", method, machine.describe(chosen.folder))
    for case in CASES:
        results.goals += _goals(case, measure(chosen.folder, case, key_count, repeats), key_count)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
