"""Whether threads take from each other: one scope, 1 to 8 threads: ``python benches/threads.py --json FILE``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rivals import machine
from rivals.alone import finish, options
from rivals.contenders.ours import Interval
from rivals.race import REPEATS_MIN, race
from rivals.results import Goal, Results
from rivals.stats import ratio
from rivals.turn import Turn
from rivals.workloads import Workload

COUNTS = (1, 2, 4, 8)
KINDS = ("set", "get")
SIZES = {"120 B": 120, "1 KB": 1_000}


def main() -> int:
    """Measure and write."""
    parser = options("Throughput of 1, 2, 4 and 8 threads.", quick="shorter turns")
    parser.add_argument("--repeats", type=int, default=0, help=f"at least {REPEATS_MIN}")
    chosen = parser.parse_args()
    # Which threads the scheduler lets go on together is another story in each turn: many short ones, one median.
    repeats = max(REPEATS_MIN, chosen.repeats or (REPEATS_MIN if chosen.quick else 31))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made, ExitStack() as opened:
        folder = Path(made)
        method = (
            "Throughput of so many threads over that of one, all in turn in one run, "
            f"{repeats} repeats after one that warms up; each thread has keys of its own "
            "in one scope of one store."
        )
        results = Results("threads", "Threads", method, machine.describe(folder))
        for kind in KINDS:
            for size, size_bytes in SIZES.items():
                turns = []
                for threads in COUNTS:
                    workload = Workload(f"{kind} {size}", kind, size_bytes, threads=threads)  # type: ignore[arg-type]
                    turn = Turn(Interval, folder / f"{kind}-{size_bytes}-{threads}", workload)
                    turn.name = str(threads)
                    opened.callback(turn.close)
                    turns.append(turn)
                series = race(turns, repeats, 0.03 if chosen.quick else 0.1, 100_000)
                for each in series[1:]:
                    # Throughput is the inverse of the time for one operation.
                    found = ratio(series[0].repeats_us, each.repeats_us)
                    goal = Goal(
                        f"{kind} {size}, {each.name} threads",
                        f"{kind}s per second of {each.name} threads / of one",
                        found["median"],
                        "ratio",
                        at_least=0.95 if each.name == "8" else None,
                        spread=(found["min"], found["max"]),
                    )
                    results.goals.append(goal)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
