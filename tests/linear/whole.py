"""What holds across keys: all writes have one order, which is that of their versions; a batch is one piece of it; and
what a read shows is not older than what was seen or told before the read began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate, pairwise

from linear.history import Event


def complaints(events: list[Event]) -> list[str]:
    """Of all rules of this module."""
    writes = sorted((e for e in events if e.kind in ("set", "delete") and e.version), key=lambda e: e.version)
    return [*_twice(writes), *_against_time(writes), *_torn(writes), *_backwards(events, writes)]


def _twice(writes: list[Event]) -> list[str]:
    return [f"version {a.version} was given twice" for a, b in pairwise(writes) if a.version == b.version]


def _against_time(writes: list[Event]) -> list[str]:
    """A write that began after another one had ended has the higher version."""
    found, ended_ns = [], None
    for write in reversed(writes):
        if ended_ns is not None and write.begun_ns > ended_ns:
            found.append(f"version {write.version} began after a higher one had ended")
        ended_ns = write.ended_ns if ended_ns is None else min(ended_ns, write.ended_ns)
    return found


def _torn(writes: list[Event]) -> list[str]:
    """Nothing lies between the versions of a batch, and they follow the order of its parts."""
    batches: dict[int, list[int]] = defaultdict(list)
    for write in writes:
        if write.batch is not None:
            batches[write.batch].append(write.version)
    return [
        f"a batch has the versions {versions}"
        for versions in batches.values()
        if versions != list(range(versions[0], versions[0] + len(versions)))
    ]


def _backwards(events: list[Event], writes: list[Event]) -> list[str]:
    """Versions become visible in their order: who was shown or told one finds all up to it, in every key."""
    shown = sorted((e.ended_ns, e.version) for e in events if e.version)
    ended = [at_ns for at_ns, _ in shown]
    highest = list(accumulate((version for _, version in shown), max))
    states: dict[str, list[tuple[int, int]]] = defaultdict(lambda: [(0, 0)])
    for write in writes:
        states[write.key].append((write.version, write.version if write.kind == "set" else 0))
    found = []
    for read in events:
        if read.kind != "read":
            continue
        before = bisect_right(ended, read.begun_ns - 1)
        least = highest[before - 1] if before else 0
        after = states[read.key]
        # The state as of that version, or any later one.
        since = bisect_right(after, (least, after[-1][0])) - 1
        if all(live != read.version for _, live in after[since:]):
            what = f"thread {read.thread} read version {read.version} of {read.key} after version {least} was there"
            found.append(what)
    return found
