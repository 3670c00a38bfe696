"""The long form: ``python -m soak --ops 10000000 --seed 7``. Prints the figures and what is not as it must be."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from pathlib import Path
from statistics import median

from soak.criteria import complaints, growth_bytes, growth_bytes_max, warm
from soak.run import Soaked, soak

# Small enough for a run to go through many.
_SEGMENT_BYTES = 8 << 20


def main() -> int:
    """Run and report. Returns: 1 when a criterion does not hold or an answer was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description="Work long enough for anything that grows to be seen.")
    parser.add_argument("--ops", type=int, default=10_000_000, help="operations (default: 10000000)")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--threads", type=int, default=4, help="working threads (default: 4)")
    parser.add_argument("--keys", type=int, default=20_000, help="keys over all threads (default: 20000)")
    parser.add_argument("--json", action="store_true", help="for machines")
    chosen = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if chosen.seed is None else chosen.seed
    if not chosen.json:
        print(f"seed {seed}, {chosen.ops:,} operations, {chosen.threads} threads, {chosen.keys:,} keys", flush=True)
    with tempfile.TemporaryDirectory(prefix="spellkeep-soak-") as folder:
        soaked = soak(
            Path(folder),
            op_count=chosen.ops,
            seed=seed,
            threads=chosen.threads,
            key_count=chosen.keys,
            segment_bytes=_SEGMENT_BYTES,
        )
    found = [*soaked.wrong, *complaints(soaked.samples)]
    figures = {"seed": seed, **_figures(soaked), "findings": found}
    if chosen.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, figure in figures.items():
            if name not in ("seed", "findings"):
                print(f"{name:24} {figure:>16,}")
        for line in found:
            print(line)
        if found:
            print(f"repeat with --seed {seed} (make soak SEED={seed})")
    return 1 if found else 0


def _figures(soaked: Soaked) -> dict[str, float]:
    samples, rest = soaked.samples, warm(soaked.samples)
    return {
        "ops": soaked.op_count,
        "took_s": round(soaked.took_s, 1),
        "ops_per_s": round(soaked.op_count / max(soaked.took_s, 1e-9)),
        "keys": soaked.key_count,
        "resident_bytes_per_key": round(soaked.bytes_per_key, 1),
        "rss_first_bytes": samples[0].rss_bytes,
        "rss_warm_bytes": rest[0].rss_bytes,
        "rss_median_bytes": round(median(sample.rss_bytes for sample in rest)),
        "rss_last_bytes": samples[-1].rss_bytes,
        "rss_max_bytes": max(sample.rss_bytes for sample in samples),
        "rss_growth_bytes": growth_bytes(rest),
        "rss_growth_bytes_max": growth_bytes_max(rest),
        "fds_first": samples[0].fd_count,
        "fds_max": max(sample.fd_count for sample in samples),
        "threads_first": samples[0].thread_count,
        "threads_max": max(sample.thread_count for sample in samples),
        "log_bytes": soaked.log_bytes,
        "segments": soaked.segment_count,
        "reopening_ms": soaked.reopened_ms,
    }


if __name__ == "__main__":
    sys.exit(main())
