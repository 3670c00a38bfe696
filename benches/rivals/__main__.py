"""Spellkeep beside its rivals: ``PYTHONPATH=python:benches python -m rivals --json FILE``."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rivals import machine
from rivals.contenders import load, ours_for
from rivals.contenders.protocol import Contender, Setting
from rivals.memory import SETTLE_S, per_key
from rivals.proof import prove
from rivals.race import REPEATS_MIN, Series, race
from rivals.results import Goal, Results, Row
from rivals.stats import clock_cost_ns, percentiles_us, ratio
from rivals.turn import Turn
from rivals.workloads import WORKLOADS, Workload

# Seconds of one contender in one repeat: 19 workloads of up to 15 contenders take about eight minutes.
_BOX_S = 0.06
_QUICK_BOX_S = 0.008
_QUICK_KEYS = 10_000
_MEMORY_KEYS = {True: 20_000, False: 100_000}
# Those for which a million keys are a matter of seconds.
_MANY_KEYS = {True: 100_000, False: 1_000_000}
# Reads are the same whatever a write waits for.
_FOR_WRITES = ("Spellkeep, process", "Spellkeep, sync")
_MANY = ("Spellkeep, interval", "dict of packed values")
_BYTES_PER_KEY_MAX = 120
_TIMES_AS_FAST = 10


def _rows(workload: Workload, made: list[type[Contender]], series: list[Series]) -> list[Row]:
    rows = []
    by_name = {each.name: each for each in series}
    for contender in made:
        each = by_name[contender.name]
        beside = ours_for(contender) if workload.writes else "Spellkeep, interval"
        row = Row(
            workload=workload.name,
            contender=contender.name,
            survives=contender.survives,
            unit="us",
            count=each.count,
            repeats=each.repeats_us,
            percentiles=percentiles_us(each.singles_ns) if workload.threads == 1 else {},
        )
        if contender.name != beside and beside in by_name and not contender.name.startswith("Spellkeep"):
            row.beside, row.ratio = beside, ratio(by_name[beside].repeats_us, each.repeats_us)
        rows.append(row)
    return rows


def _measure(
    workload: Workload, contenders: list[type[Contender]], folder: Path, repeats: int, box_s: float, results: Results
) -> None:
    taking_part = []
    for contender in contenders:
        if reason := contender.lacks.get(workload.kind):
            results.missing.append(f"{workload.name}: {contender.name}: {reason}")
        elif workload.writes or contender.name not in _FOR_WRITES:
            taking_part.append(contender)
    with tempfile.TemporaryDirectory(prefix="w-", dir=folder) as own, ExitStack() as opened:
        turns = []
        for number, contender in enumerate(taking_part):
            turn = Turn(contender, Path(own) / str(number), workload)
            opened.callback(turn.close)
            turns.append(turn)
        series = race(turns, repeats, box_s, workload.count_max)
        for turn in turns:
            turn.check()
    results.rows += _rows(workload, taking_part, series)


def _memory(contenders: list[type[Contender]], folder: Path, quick: bool, results: Results) -> None:
    ours: list[float] = []
    for contender in contenders:
        if contender.name in _FOR_WRITES:
            continue
        keys = (_MANY_KEYS if contender.name in _MANY else _MEMORY_KEYS)[quick]
        # In a process of its own each time. Of a few: what a checkpoint has in hand at that moment counts too.
        found = [per_key(contender.name, keys, folder) for _ in range(1 if quick else 3)]
        name, used = "memory per key, values of 120 B", [each["all_bytes"] for each in found]
        row = Row(name, contender.name, contender.survives, "bytes", keys, used)
        if contender.name == "Spellkeep, interval":
            ours = used
            definition = (
                f"growth of the process's own memory over {keys:,} keys, {SETTLE_S} s after the last of them, "
                "less the values' MessagePack"
            )
            beyond = sorted(each["all_bytes"] - each["value_bytes"] for each in found)
            figure, spread = statistics.median(beyond), (beyond[0], beyond[-1])
            goal = Goal(
                "memory per key beyond the value", definition, figure, "bytes", _BYTES_PER_KEY_MAX, spread=spread
            )
            results.goals.append(goal)
        elif min(used) > 0:
            row.beside, row.ratio = "Spellkeep, interval", ratio(ours, used)
        results.rows.append(row)


def _goals(results: Results) -> list[Goal]:
    """What the rows come to."""
    timed = [row for row in results.rows if row.ratio and row.unit == "us"]
    lost = [row for row in timed if row.survives != "none" and row.ratio["median"] >= 1]  # type: ignore[index]
    goals = [
        Goal(
            "workloads lost to a rival that survives a kill",
            "pairs of workload and such a rival whose ratio is 1 or more, of "
            f"{sum(row.survives != 'none' for row in timed)}",
            len(lost),
            "count",
            at_most=0,
        )
    ]
    for row in timed:
        if row.workload not in ("set 120 B", "set 1 KB") or row.survives == "none" or "hand" in row.contender:
            continue
        found = row.ratio or {}
        goals.append(
            Goal(
                f"{row.workload}: times as fast as {row.contender}",
                f"time of the rival over time of {row.beside}, one acknowledged set",
                1 / found["median"],
                "ratio",
                # At each commit both wait for the same device: there the goal is to be ahead.
                at_least=_TIMES_AS_FAST if row.survives == "kill" else 1,
                spread=(1 / found["max"], 1 / found["min"]),
            )
        )
    return goals


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="rivals", description="Spellkeep beside what else keeps values.")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="where the figures go")
    parser.add_argument("--quick", action="store_true", help="about a minute: shorter turns, fewer workloads")
    parser.add_argument("--repeats", type=int, default=REPEATS_MIN, help=f"at least {REPEATS_MIN}, the default")
    parser.add_argument("--folder", type=Path, default=Path(), help="on which disk (default: the current directory)")
    parser.add_argument("--only", default="", metavar="WORDS", help="only workloads whose name has them")
    chosen = parser.parse_args()
    contenders, skipped = load()
    for line in skipped:
        print(line, flush=True)
    box_s = _QUICK_BOX_S if chosen.quick else _BOX_S
    method = (
        "Contenders take turns within one run, in another order in each repeat, "
        f"{max(REPEATS_MIN, chosen.repeats)} repeats after one that warms up. A repeat is what a contender does in "
        f"about {box_s * 1000:.0f} ms, and half as many operations again, timed one by one for the percentiles; timing "
        f"one adds {clock_cost_ns():.0f} ns, which is left in. "
        "Every write stores a value that "
        "differs from the stored one. Each contender has shown that it stores, gives back, lists, refuses a stale "
        "compare-and-set and reopens before it is measured, and what it wrote last is read back afterwards."
    )
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        results = Results("rivals", "Beside what else keeps values", method, machine.describe(folder), missing=skipped)
        for number, contender in enumerate(contenders):
            prove(contender, folder / f"proof-{number}", Setting())
            shutil.rmtree(folder / f"proof-{number}", ignore_errors=True)
            results.contenders[contender.name] = {"survives": contender.words, "settings": contender.settings}
            print(f"{contender.name}: survives {contender.words}. {contender.settings}", flush=True)
        for workload in WORKLOADS:
            if chosen.only not in workload.name or (chosen.quick and not workload.quick):
                continue
            print(f"... {workload.name}", flush=True)
            if chosen.quick and workload.keys > _QUICK_KEYS:
                workload = workload.shortened(_QUICK_KEYS)
            _measure(workload, contenders, folder, chosen.repeats, box_s, results)
        if chosen.only in "memory per key":
            print("... memory per key", flush=True)
            _memory(contenders, folder, chosen.quick, results)
    results.goals += _goals(results)
    results.write(chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
