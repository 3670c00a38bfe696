"""What an open store says of itself: what its opening found, and figures as of now."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Recovery", "Stats"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the opening found.

    Attributes:
        clean: whether the last opener had closed the store.
        record_count: records read back.
        ring_record_count: of these, the ones that were only in the ring.
        segment_count: segment files read.
        last_version: version of the last record found.
        cut_bytes: bytes behind the last whole commit that were cut; never part of an acknowledged write.
        cut_reason: why, when bytes were cut or versions lost; else None.
        lost_count: versions known to have existed, never durable, and lost with the power.
        skipped_count: versions behind ``last_version`` that are not given again, because a power loss may have taken
            records that had them.
        duration_ms: how long the recovery took.
        snapshot_version: the state was filled from a snapshot of this version; 0 when from the log alone.
        snapshot_row_count: rows read from it.
        snapshot_damage: what is wrong with snapshots that did not hold; the next checkpoint makes them anew.
        live: whether another opener had the directory while it was opened read-only: then this is what was there then.
    """

    clean: bool
    record_count: int
    ring_record_count: int
    segment_count: int
    last_version: int
    cut_bytes: int
    cut_reason: str | None
    lost_count: int
    skipped_count: int
    duration_ms: int
    snapshot_version: int
    snapshot_row_count: int
    snapshot_damage: list[str]
    live: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of an open store.

    Bytes are of the log: ``log_bytes`` ever written, ``kept_log_bytes`` of these still there, ``ring_used_bytes`` not
    yet freed. ``checkpoint_failure`` says why the last checkpoint in the background did not work, and is None since one
    has. What comes behind ``held_version`` is not read by everybody who follows the log, so that checkpoints keep it;
    None: nobody said so. In memory, ``resident_bytes`` are the values', and ``view_bytes`` what is kept for
    ``view_count`` read views.
    """

    key_count: int
    scope_count: int
    last_version: int
    durable_version: int
    log_bytes: int
    kept_log_bytes: int
    segment_count: int
    ring_bytes: int
    ring_used_bytes: int
    sync_count: int
    repair_count: int
    checkpoint_count: int
    checkpoint_version: int
    checkpoint_failure: str | None
    held_version: int | None
    resident_bytes: int
    view_count: int
    view_bytes: int
