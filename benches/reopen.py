"""How long a store takes to open: ``python benches/reopen.py [--keys 1000000] [--json]``.

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

import spellkeep as sk

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


def measure(case: str, key_count: int, repeats: int) -> dict[str, object]:
    """Fill once, open ``repeats`` times after one that is not counted. Times in seconds."""
    with tempfile.TemporaryDirectory(prefix="spellkeep-reopen-") as folder:
        store = Path(folder) / "store"
        _run("fill", store, case, key_count)
        found = [json.loads(_run("open", store, case, key_count)) for _ in range(repeats + 1)][1:]
        byte_count = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    times = sorted(each["took_s"] for each in found)
    median = statistics.median(times)
    rows = found[-1]["log_records"] + found[-1]["snapshot_rows"]
    return {
        "case": case,
        "keys": key_count,
        "median_s": round(median, 4),
        "min_s": round(times[0], 4),
        "max_s": round(times[-1], 4),
        "records_per_s": round(rows / median),
        "log_records": found[-1]["log_records"],
        "snapshot_rows": found[-1]["snapshot_rows"],
        "directory_bytes": byte_count,
    }


def main() -> None:
    """Measure the cases and print a line of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys, with values of 100 bytes (default: 1000000)")
    parser.add_argument("--repeats", type=int, default=7, help="openings of each (default: 7)")
    parser.add_argument("--case", choices=CASES, help="only this one")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        {"fill": _fill, "open": _open}[chosen.step[0]](chosen.step[1], chosen.case, chosen.keys)
        return
    for case in [chosen.case] if chosen.case else CASES:
        row = measure(case, chosen.keys, chosen.repeats)
        if chosen.json:
            print(json.dumps(row), flush=True)
        else:
            print(f"{row['keys']:,} keys, {CASES[case]}:", flush=True)
            print(
                f"  {row['median_s']:.2f} s (of {chosen.repeats}: {row['min_s']:.2f} to {row['max_s']:.2f}), "
                f"{row['records_per_s']:,} records/s, {row['directory_bytes'] / 1e6:,.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
