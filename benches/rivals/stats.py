"""What becomes of the times: medians, percentiles, ratios, and what the clock itself takes."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Sequence
from time import perf_counter_ns

PERCENTILES = (50.0, 99.0, 99.9, 99.99)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest measured value that at least `percent` per cent of them do not exceed (nearest rank).

    A value that was measured, never one between two of them.
    """
    if not ordered:
        raise ValueError("nothing was measured")
    # In whole hundredths of a per cent: 99.9 / 100 * 1000 is 999.0000000000001.
    rank = -(-len(ordered) * round(percent * 100) // 10_000)
    return ordered[max(rank, 1) - 1]


def percentiles_us(singles_ns: array[int]) -> dict[str, float]:
    """Of single operations. A percentile needs ten measured values beyond it; others are left out."""
    ordered = sorted(singles_ns)
    return {
        f"p{percent:g}": percentile(ordered, percent) / 1000
        for percent in PERCENTILES
        if len(ordered) * (100 - percent) / 100 >= 10 or (percent == 50.0 and ordered)
    }


def ratio(ours_us: Sequence[float], theirs_us: Sequence[float]) -> dict[str, float]:
    """Ours over theirs, taken repeat by repeat: both of one pair met the machine in the same state."""
    each = [mine / other for mine, other in zip(ours_us, theirs_us, strict=True)]
    return {"median": statistics.median(each), "min": min(each), "max": max(each)}


def clock_cost_ns() -> float:
    """What timing one operation by itself adds to it: the median of 20,000 times of nothing."""
    clock = perf_counter_ns
    times = array("q", bytes(8 * 20_000))
    for at in range(len(times)):
        begun = clock()
        times[at] = clock() - begun
    return statistics.median(times)
