"""Lets jobs take turns, after a warm-up, as often as asked for, and times them."""

from __future__ import annotations

import gc
import random
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Protocol

REPEATS_MIN = 7
# Operations are added until they take so long; a count is estimated from less.
_ESTIMATE_SHARE = 4


class Job(Protocol):
    """What takes turns. `prepare` is not timed."""

    name: str

    def prepare(self, count: int) -> int:
        """Make ready about `count` operations; how many."""

    def whole_ns(self) -> int:
        """Do them; the time of all."""

    def singles_ns(self) -> array[int]:
        """Do them; the time of each."""


@dataclass
class Series:
    """What came of one contender's turns."""

    name: str
    count: int = 0
    repeats_us: list[float] = field(default_factory=list)
    singles_ns: array[int] = field(default_factory=lambda: array("q"))


def race(jobs: Sequence[Job], repeats: int, box_s: float, count_max: int) -> list[Series]:
    """Let the jobs take turns: one that warms up and is not counted, then `repeats` that are.

    Each repeat has an order of its own, the same in every run: a job that always came behind the same other one would
    pay for what that one left to the disk.

    Each gets as many operations as it does in about `box_s`, and half as many more that are timed one by one.
    """
    series = [Series(job.name) for job in jobs]
    gc.collect()
    # What was made ready stays: the collector need not walk it in anybody's turn.
    gc.freeze()
    try:
        for job, each in zip(jobs, series, strict=True):
            each.count = _estimate(job, box_s, count_max)
        for number in range(max(REPEATS_MIN, repeats) + 1):
            turns = list(zip(jobs, series, strict=True))
            random.Random(number).shuffle(turns)
            for job, each in turns:
                ready = job.prepare(each.count)
                gc.collect(0)
                whole_ns = job.whole_ns()
                if ready == 1:
                    # It is a single one already, and slow enough.
                    singles = array("q", [whole_ns])
                else:
                    job.prepare(each.count // 2)
                    singles = job.singles_ns()
                if number:
                    each.repeats_us.append(whole_ns / ready / 1000)
                    each.singles_ns.extend(singles)
    finally:
        gc.unfreeze()
    return series


def _estimate(job: Job, box_s: float, count_max: int) -> int:
    """How many operations take about `box_s`. The better of two times, so that one stall does not decide."""
    count = 1
    while True:
        times_s = []
        for _ in range(2):
            ready = job.prepare(count)
            times_s.append(job.whole_ns() / 1e9)
        took_s = min(times_s)
        if took_s * _ESTIMATE_SHARE >= box_s or count >= count_max:
            return max(1, min(count_max, int(ready * box_s / max(took_s, 1e-9))))
        count *= 2


def each_ns(call: Callable[..., object], calls: Sequence[Any], pairs: bool) -> int:
    """Call it with each of `calls`, a key and a value or one argument; the time of all."""
    clock = perf_counter_ns
    if pairs:
        begun = clock()
        for key, value in calls:
            call(key, value)
        return clock() - begun
    begun = clock()
    for argument in calls:
        call(argument)
    return clock() - begun


def singles_ns(call: Callable[..., object], calls: Sequence[Any], pairs: bool) -> array[int]:
    """As `each_ns`; the time of each, kept in room that was there before."""
    clock, times, at = perf_counter_ns, array("q", bytes(8 * len(calls))), 0
    if pairs:
        for key, value in calls:
            begun = clock()
            call(key, value)
            times[at] = clock() - begun
            at += 1
    else:
        for argument in calls:
            begun = clock()
            call(argument)
            times[at] = clock() - begun
            at += 1
    return times


class Calls:
    """One function, called with what `make(count)` gives: pairs of key and value, or single arguments."""

    def __init__(self, name: str, call: Callable[..., object], make: Callable[[int], list[Any]], pairs: bool) -> None:
        self.name, self._call, self._make, self._pairs = name, call, make, pairs
        self._calls: list[Any] = []

    def prepare(self, count: int) -> int:
        """Make ready `count` calls."""
        self._calls = self._make(count)
        return count

    def whole_ns(self) -> int:
        """Do them; the time of all."""
        return each_ns(self._call, self._calls, self._pairs)

    def singles_ns(self) -> array[int]:
        """Do them; the time of each."""
        return singles_ns(self._call, self._calls, self._pairs)


def together_ns(loops: Sequence[Callable[[], object]]) -> int:
    """Run each in a thread; the time from the first begin to the last end."""
    barrier = threading.Barrier(len(loops))
    spans: list[tuple[int, int]] = []

    def run(loop: Callable[[], object]) -> None:
        barrier.wait()
        begun = perf_counter_ns()
        loop()
        spans.append((begun, perf_counter_ns()))

    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(spans) != len(loops):
        raise RuntimeError("a thread of the benchmark failed")
    return max(end for _, end in spans) - min(begin for begin, _ in spans)
