"""The long form: ``python -m powercut --cuts 300 --seed 7 --fs ext4,xfs``. Prints a table and its seed."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from crash.harness import WORDS, Word
from crash.model import KINDS as FINDINGS
from powercut import volume
from powercut.agents import AgentRun
from powercut.harness import GRACE_MS, INTERVAL_MS, Run
from powercut.volume import KINDS, Unusable, Volume

_COLUMNS = ("cuts", "acknowledged", "uncertain", "flushes", "gone", "cut tails", "cut again", "kills before", "rebuilt")


def main() -> int:
    """Cut the power of each file system under each durability word. Returns: 1 when anything was found."""
    parser = argparse.ArgumentParser(
        prog="powercut", description="Lose the page cache under writers; check what is left."
    )
    parser.add_argument("--cuts", type=int, default=300, help="per file system, over all words (default: 300)")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--fs", default=",".join(KINDS), help=f"some of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--words", default=",".join(WORDS), help=f"some of {', '.join(WORDS)} (default: all)")
    parser.add_argument(
        "--grace-ms", type=float, default=GRACE_MS, help="how much older than the interval a loss may be"
    )
    parser.add_argument("--agents", action="store_true", help="the writers save agents, with steps")
    parser.add_argument("--lie", action="store_true", help="plant syncs that do nothing: this must find something")
    chosen = parser.parse_args()
    kinds, words = chosen.fs.split(","), [word for word in WORDS if word in chosen.words.split(",")]
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such file system: {', '.join(sorted(unknown))}")
    seed = secrets.randbelow(1 << 32) if chosen.seed is None else chosen.seed
    # An end by a signal unwinds too, so that nothing stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"seed {seed}, {chosen.cuts} cuts of each of {', '.join(kinds)}", flush=True)
    findings = 0
    with tempfile.TemporaryDirectory(prefix="spellkeep-powercut-") as folder:
        for kind in kinds:
            if reason := volume.missing(kind) or _refusal(kind, Path(folder)):
                print(f"SKIPPED: {kind}: {reason}")
                continue
            findings += _cut(kind, Path(folder), seed, words, chosen)
    if findings:
        print(f"{findings} findings; repeat with --seed {seed} (make powercut SEED={seed})")
    return 1 if findings else 0


def _refusal(kind: str, folder: Path) -> str | None:
    """Why a cut would show nothing here."""
    try:
        volume.enter_private_mounts()
        with Volume(kind, folder) as made:
            return None if made.forgets() else "a cut of it does not lose what was not synced"
    except (Unusable, OSError) as failure:
        return str(failure)


def _cut(kind: str, folder: Path, seed: int, words: Sequence[Word], chosen: argparse.Namespace) -> int:
    begun = time.monotonic()
    runs = []
    with Volume(kind, folder) as made:
        for number, word in enumerate(words):
            run = (AgentRun if chosen.agents else Run)(made, word, seed, grace_ms=chosen.grace_ms, lies=chosen.lie)
            run.cut((chosen.cuts + number) // len(words))
            runs.append(run)
    columns = [*_COLUMNS, "bus errors", *FINDINGS]
    rows = [(kind, *columns), *((run.word, *(f"{run.counts[name]:,}" for name in columns)) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
    for run in runs:
        if run.word == "interval":
            oldest = max(run.ages_ms, default=0.0)
            print(f"the oldest write that an interval of {INTERVAL_MS} ms lost: {oldest:.1f} ms before the cut")
    cuts = sum(run.counts["cuts"] for run in runs)
    took_s = time.monotonic() - begun
    print(f"took {took_s:.0f} s, {took_s / max(1, cuts):.2f} s per cut", flush=True)
    findings = [f"{kind}, {run.word}: {finding}" for run in runs for finding in run.findings]
    for line in findings[:20]:
        print(line)
    return len(findings)


if __name__ == "__main__":
    sys.exit(main())
