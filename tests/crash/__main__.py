"""The long form: ``python -m crash --kills 1000 --seed 7``. Prints a table, and the seed that repeats the run."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from pathlib import Path

from crash.harness import WORDS, Run
from crash.model import KINDS

_COLUMNS = ("kills", "acknowledged", "uncertain", *KINDS)


def main() -> int:
    """Run all durability words and print the table. Returns: 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="crash", description="Kill writers with SIGKILL and check what is left.")
    parser.add_argument("--kills", type=int, default=1_000, help="over all durability words (default: 1000)")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--threads", type=int, default=4, help="writing threads (default: 4)")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}, {chosen.kills} kills, {chosen.threads} threads", flush=True)
    begun = time.monotonic()
    runs = []
    with tempfile.TemporaryDirectory(prefix="spellkeep-crash-") as folder:
        for number, word in enumerate(WORDS):
            run = Run(word, seed, Path(folder), threads=chosen.threads)
            run.kill((chosen.kills + number) // len(WORDS))
            runs.append(run)
    rows = [("durability", *_COLUMNS), *((run.word, *(f"{run.counts[name]:,}" for name in _COLUMNS)) for run in runs)]
    rows.append(("all", *(f"{sum(run.counts[name] for run in runs):,}" for name in _COLUMNS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
    print(f"took {time.monotonic() - begun:.0f} s")
    findings = [f"{run.word}: {finding}" for run in runs for finding in run.findings]
    for finding in findings[:50]:
        print(finding)
    if findings:
        print(f"{len(findings)} findings; repeat with --seed {seed} (make crash SEED={seed})")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
