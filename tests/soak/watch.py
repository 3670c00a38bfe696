"""Samples of this process, as the kernel has it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from soak.criteria import Sample

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLL_S = 0.01


def rss_bytes() -> int:
    """Memory that is resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES


def anonymous_bytes() -> int:
    """Resident memory that is not a file's: without the ring."""
    with open("/proc/self/statm") as file:
        resident, shared = map(int, file.read().split()[1:3])
    return (resident - shared) * _PAGE_BYTES


def sample(op_count: int) -> Sample:
    """Now."""
    # The listing has itself open.
    fds = len(os.listdir("/proc/self/fd")) - 1
    return Sample(op_count, rss_bytes(), fds, len(os.listdir("/proc/self/task")))


def watch(op_count: Callable[[], int], running: Callable[[], bool], every: int) -> list[Sample]:
    """A sample now, one each so many operations while it runs, and one at the end."""
    samples = [sample(op_count())]
    while running():
        if op_count() >= samples[-1].op_count + every:
            samples.append(sample(op_count()))
        else:
            time.sleep(_POLL_S)
    samples.append(sample(op_count()))
    return samples
