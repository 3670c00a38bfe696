"""What a long run may cost: nothing that grows with the number of operations."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median

# Of the samples: the index, the ring and the allocator's arenas find their size.
WARM_UP = 0.25
# By which the memory may have grown from the end of the warm-up to the end of the run: the greater of the two. What the
# allocator holds in pages that are partly used moves by some MiB with what else the machine does, up and down.
GROWTH_BYTES_MAX = 10 << 20
GROWTH_SHARE_MAX = 0.02
# What may be open besides what the open store began with: segments that are being made, replaced or read.
FDS_MORE_MAX = 16
THREADS_MORE_MAX = 2
# So many parts of a run are compared, each by its least sample: a checkpoint that runs takes memory and gives it back.
PARTS = 15


@dataclass(frozen=True)
class Sample:
    """The process at one moment."""

    op_count: int
    rss_bytes: int
    fd_count: int
    thread_count: int


def warm(samples: list[Sample]) -> list[Sample]:
    """The samples after the warm-up."""
    return samples[int(len(samples) * WARM_UP) :]


def floors(samples: list[Sample]) -> list[Sample]:
    """The least memory in each of `PARTS` parts, as equal as may be. What leaks stays, so it raises these too."""
    ends = [len(samples) * part // PARTS for part in range(PARTS + 1)]
    parts = [samples[begin:end] for begin, end in pairwise(ends) if begin < end]
    return [min(part, key=lambda sample: sample.rss_bytes) for part in parts]


def growth_bytes(samples: list[Sample]) -> int:
    """The median slope between any two floors (Theil and Sen), times the operations between the first and the last.

    One part that is off, or a step back when memory is returned, does not move it.
    """
    pairs = combinations(floors(samples), 2)
    slopes = [(b.rss_bytes - a.rss_bytes) / (b.op_count - a.op_count) for a, b in pairs if b.op_count > a.op_count]
    return round(median(slopes) * (samples[-1].op_count - samples[0].op_count)) if slopes else 0


def growth_bytes_max(samples: list[Sample]) -> int:
    """How much is still flat."""
    return max(GROWTH_BYTES_MAX, round(GROWTH_SHARE_MAX * median(sample.rss_bytes for sample in samples)))


def memory(samples: list[Sample]) -> list[str]:
    """Complaints when memory is not flat after the warm-up."""
    rest = warm(samples)
    grown, most = growth_bytes(rest), growth_bytes_max(rest)
    if grown <= most:
        return []
    ops = rest[-1].op_count - rest[0].op_count
    return [f"memory grew by {grown:,} bytes over {ops:,} operations, {grown / ops:.2f} bytes each; flat is {most:,}"]


def descriptors(samples: list[Sample]) -> list[str]:
    """Complaints when more are open, at any time, than a constant over the first sample."""
    most, first = max(sample.fd_count for sample in samples), samples[0].fd_count
    if most <= first + FDS_MORE_MAX:
        return []
    return [f"{most:,} descriptors were open, {first} at the start; {FDS_MORE_MAX} more may be"]


def threads(samples: list[Sample]) -> list[str]:
    """Complaints when more run, at any time, than a constant over the first sample."""
    most, first = max(sample.thread_count for sample in samples), samples[0].thread_count
    if most <= first + THREADS_MORE_MAX:
        return []
    return [f"{most:,} threads ran, {first} at the start; {THREADS_MORE_MAX} more may"]


def complaints(samples: list[Sample]) -> list[str]:
    """Of all criteria."""
    return [*memory(samples), *descriptors(samples), *threads(samples)]
