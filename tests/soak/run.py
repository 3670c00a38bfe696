"""One run: fill, work, watch, close, open, compare."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import spellkeep
from soak.criteria import Sample
from soak.watch import anonymous_bytes, watch
from soak.work import Worker, counters_wrong

SAMPLES = 200


@dataclass(frozen=True)
class Soaked:
    """What a run showed.

    Attributes:
        bytes_per_key: resident memory that filling took, per key, each with a text of 100 characters; without the ring.
        wrong: answers that were not what was written.
    """

    samples: list[Sample]
    key_count: int
    bytes_per_key: float
    op_count: int
    took_s: float
    log_bytes: int
    segment_count: int
    reopened_ms: int
    wrong: list[str]


def soak(folder: Path, *, op_count: int, seed: int, threads: int, key_count: int, segment_bytes: int) -> Soaked:
    """So many operations over so many keys in a new store."""
    with spellkeep.open(folder, segment_bytes=segment_bytes) as state:
        shares = [(op_count + number) // threads for number in range(threads)]
        workers = [Worker(state, number, str(seed), key_count // threads, share) for number, share in enumerate(shares)]
        empty = anonymous_bytes()
        keys = sum(worker.fill() for worker in workers)
        state.flush()
        filled = anonymous_bytes()
        begun = time.monotonic()
        for worker in workers:
            worker.thread.start()
        samples = watch(
            lambda: sum(worker.done_count for worker in workers),
            lambda: any(worker.thread.is_alive() for worker in workers),
            max(1, op_count // SAMPLES),
        )
        took_s = time.monotonic() - begun
        wrong = counters_wrong(state, workers)
        stats = state.stats()
    with spellkeep.open(folder, segment_bytes=segment_bytes) as state:
        for worker in workers:
            worker.check(state)
        wrong += counters_wrong(state, workers)
        reopened_ms = state.recovery.duration_ms
    return Soaked(
        samples=samples,
        key_count=keys,
        bytes_per_key=(filled - empty) / keys,
        op_count=sum(worker.done_count for worker in workers),
        took_s=took_s,
        log_bytes=stats.log_bytes,
        segment_count=stats.segment_count,
        reopened_ms=reopened_ms,
        wrong=[*wrong, *(line for worker in workers for line in worker.wrong)],
    )
