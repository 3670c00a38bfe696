"""Whether threads take from each other: one scope, 1 to 8 threads: ``python benches/threads.py --json FILE``.

Beside them a dict of packed values, which takes no lock and keeps nothing: what is lost there is the interpreter's.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rivals import machine
from rivals.alone import finish, options
from rivals.contenders.by_hand import PackedDict
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
            "in one scope of one store. Beside them, in the same turns, a dict of packed values, which "
            "takes no lock and keeps nothing: what it loses is lost to the interpreter."
        )
        results = Results("threads", "Threads", method, machine.describe(folder))
        for kind in KINDS:
            for size, size_bytes in SIZES.items():
                turns = []
                for threads in COUNTS:
                    workload = Workload(f"{kind} {size}", kind, size_bytes, threads=threads)  # type: ignore[arg-type]
                    for made in (Interval, PackedDict):
                        turn = Turn(made, folder / f"{made.__name__}-{kind}-{size_bytes}-{threads}", workload)
                        turn.name = f"{made.__name__} {threads}"
                        opened.callback(turn.close)
                        turns.append(turn)
                times = {
                    each.name: each.repeats_us for each in race(turns, repeats, 0.03 if chosen.quick else 0.1, 100_000)
                }
                for threads in COUNTS[1:]:
                    # Throughput is the inverse of the time for one operation.
                    ours, theirs = (
                        ratio(times[f"{made.__name__} 1"], times[f"{made.__name__} {threads}"])
                        for made in (Interval, PackedDict)
                    )
                    goal = Goal(
                        f"{kind} {size}, {threads} threads",
                        f"{kind}s per second of {threads} threads / of one",
                        ours["median"],
                        "ratio",
                        at_least=0.95 if threads == COUNTS[-1] else None,
                        spread=(ours["min"], ours["max"]),
                        note=f"{PackedDict.name}: {theirs['median']:.2f}.",
                    )
                    results.goals.append(goal)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
