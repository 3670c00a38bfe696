"""The promises, measured in one run: ``make bench-smoke``.

Contenders take turns (A B C A B C ...), so that whatever else the machine does meets all of them. Whole rounds are
timed for the time of one operation. A further pass of each round times every operation by itself for the p99, which
adds what the clock takes. All do the same work: a value that differs from the stored one, handed over as a dict,
acknowledged; read back as a dict. Ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from contenders import ByHand, Contender, Spellkeep, Sqlite
from workloads import KEYS, small_dict, writes

Operation = Callable[..., object]


@dataclass
class Series:
    """The rounds of one contender in one race; times in microseconds for one operation."""

    contender: Contender
    count: int
    rounds_us: list[float] = field(default_factory=list)
    single_us: list[float] = field(default_factory=list)

    @property
    def median_us(self) -> float:
        """The median round."""
        return statistics.median(self.rounds_us)

    def p99_us(self) -> float:
        """Of the operations timed one by one."""
        return statistics.quantiles(self.single_us, n=100)[98]


def _whole_us(operation: Operation, calls: Sequence[tuple[Any, ...]]) -> float:
    begun = perf_counter_ns()
    for arguments in calls:
        operation(*arguments)
    return (perf_counter_ns() - begun) / len(calls) / 1000


def _single_us(operation: Operation, calls: Sequence[tuple[Any, ...]]) -> list[float]:
    clock, times = perf_counter_ns, []
    for arguments in calls:
        begun = clock()
        operation(*arguments)
        times.append((clock() - begun) / 1000)
    return times


def race(series: Sequence[Series], calls_of: Callable[[Series], Sequence[tuple[Any, ...]]], rounds: int) -> None:
    """Run the rounds, after one that warms up and is not counted."""
    for number in range(rounds + 1):
        for each in series:
            operation = each.contender.write if calls_of is write_calls else each.contender.read
            calls = calls_of(each)
            gc.collect()
            whole_us = _whole_us(operation, calls)
            single_us = _single_us(operation, calls_of(each)[: each.count // 4])
            if number:
                each.rounds_us.append(whole_us)
                each.single_us += single_us


_unused = count()


def write_calls(series: Series) -> Sequence[tuple[Any, ...]]:
    """Writes whose values no contender has seen before."""
    return [(KEYS[number % len(KEYS)], small_dict(number)) for number in islice(_unused, series.count)]


def read_calls(series: Series) -> Sequence[tuple[Any, ...]]:
    """Reads of every key in turn."""
    return [(KEYS[number % len(KEYS)],) for number in range(series.count)]


def _report(title: str, series: Sequence[Series], targets: dict[str, tuple[float, str]]) -> dict[str, Any]:
    print(f"{title}\n  {'':34}{'median':>9}{'min-max':>16}{'p99':>9}   an acknowledged write survives")
    for each in series:
        spread = f"{min(each.rounds_us):.2f}-{max(each.rounds_us):.2f}"
        survives = each.contender.survives
        print(f"  {each.contender.name:34}{each.median_us:>9.3f}{spread:>16}{each.p99_us():>9.2f}   {survives}")
    first, ratios = series[0], {}
    for each in series[1:]:
        of_rounds = [mine / other for mine, other in zip(first.rounds_us, each.rounds_us, strict=True)]
        ratio = statistics.median(of_rounds)
        name = each.contender.name
        spread = f"rounds {min(of_rounds):.3f}-{max(of_rounds):.3f}"
        line = f"  {ratio:.3f}x of {name} ({spread}), {1 / ratio:.1f} times as fast"
        goal = None
        if name in targets:
            at_most, words = targets[name]
            goal = {"ratio_max": at_most, "met": ratio <= at_most}
            line += f"; target {words}: {'met' if ratio <= at_most else 'MISSED'}"
        print(line)
        ratios[name] = {"median": ratio, "rounds": of_rounds, "target": goal}
    print()
    rows = [
        {
            "name": each.contender.name,
            "survives": each.contender.survives,
            "operations_per_round": each.count,
            "median_us": each.median_us,
            "rounds_us": each.rounds_us,
            "p99_us": each.p99_us(),
        }
        for each in series
    ]
    return {"title": title, "contenders": rows, "ratios": ratios}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the promises in one run.")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds, at least 7 (default: 9)")
    parser.add_argument("--folder", type=Path, default=Path(), help="on which disk (default: the current directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    chosen = parser.parse_args()
    rounds = max(7, chosen.rounds)
    print(f"microseconds per operation, {rounds} rounds after a warm-up, contenders in turn\n")
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as folder:
        kept, by_hand, sqlite = Spellkeep(Path(folder)), ByHand(Path(folder)), Sqlite(Path(folder))
        contenders: list[Contender] = [kept, by_hand, sqlite]
        for contender in contenders:
            for key, value in writes(len(KEYS)):
                contender.write(key, value)
        racing = [Series(kept, 20_000), Series(by_hand, 20_000), Series(sqlite, 2_000)]
        race(racing, write_calls, rounds)
        targets = {by_hand.name: (0.6, "<= 0.6x"), sqlite.name: (1 / 20, ">= 20 times")}
        reports = [_report("write a dict of 120 bytes, acknowledged", racing, targets)]
        racing = [Series(kept, 40_000), Series(by_hand, 40_000), Series(sqlite, 4_000)]
        race(racing, read_calls, rounds)
        reports.append(_report("read it back", racing, {by_hand.name: (1.2, "<= 1.2x")}))
        for contender in contenders:
            contender.close()
    if chosen.json:
        chosen.json.write_text(json.dumps({"rounds": rounds, "unit": "us", "races": reports}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
