"""How much of the past of an agent is kept."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from spellkeep.agent import past
from spellkeep.agent.layout import EDIT, MESSAGE, PAST, RETENTION, STEP, numbered, past_of
from spellkeep.agent.source import Source
from spellkeep.batch import Batch
from spellkeep.errors import LimitExceeded
from spellkeep.handle import ScopeHandle

if TYPE_CHECKING:
    from spellkeep.agent.saving import Saver

# Replaced entries between two looks at the retention.
_PRUNE_EVERY = 256
_BATCH = 10_000


@dataclass(frozen=True)
class Retention:
    """How much of the past of an agent is kept; what either of the two keeps is kept. The present always is.

    Attributes:
        keep_last: so many saves; None: does not count.
        keep_days: the saves of so many days; None: does not count. Both None: everything is kept.
    """

    keep_last: int | None = None
    keep_days: float | None = None

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_days"):
            if (given := getattr(self, name)) is not None and not given >= 0:
                raise LimitExceeded(f"{name} is 0 or more, or None, not {given!r}", code="agent.retention")

    @classmethod
    def of(cls, stored: Any) -> Retention:
        """The one that an entry holds."""
        return cls() if stored is None else cls(stored["keep_last"], stored["keep_days"])


def set_retention(saver: Saver, retention: Retention) -> None:
    """Save it; it is applied from the next changes on, and by `prune`."""
    if not isinstance(retention, Retention):
        raise TypeError(f"a Retention, not {type(retention).__name__}")
    with saver.lock:
        stored = saver.handle.get(RETENTION, {"horizon": 0, "steps_from": 0})
        kept = {"keep_last": retention.keep_last, "keep_days": retention.keep_days}
        saver.handle.set(RETENTION, {**stored, **kept})


def prune_if_due(saver: Saver) -> None:
    """Apply the retention once in a while."""
    if saver.replaced_count >= _PRUNE_EVERY:
        saver.replaced_count = 0
        if Retention.of(saver.handle.get(RETENTION)) != Retention():
            prune(saver)


def prune(saver: Saver) -> int:
    """Clear away what neither the retention nor a tag nor a fork keeps."""
    with saver.lock:
        handle = saver.handle
        stored = handle.get(RETENTION)
        retention = Retention.of(stored)
        if retention == Retention():
            return 0
        horizon = _new_horizon(saver, retention)
        if horizon <= stored["horizon"]:
            horizon = stored["horizon"]
        if horizon == 0:
            return 0
        doomed = list(_doomed(handle, horizon))
        steps = [key for key, version, _ in handle._stamps(STEP) if version < horizon]
        steps_from = max([stored["steps_from"], *(int(key[len(STEP) :]) + 1 for key in steps)])
        # First what makes the versions unreadable, then the entries.
        batch = Batch(handle.store)
        batch.set(handle.scope, RETENTION, {**stored, "horizon": horizon, "steps_from": steps_from})
        for key in doomed + steps:
            batch.delete(handle.scope, key)
            if len(batch) >= _BATCH:
                batch.commit()
                batch = Batch(handle.store)
        batch.commit()
        return len(doomed) + len(steps)


def _new_horizon(saver: Saver, retention: Retention) -> int:
    saves = sorted(past.own_versions(Source(saver.handle)), reverse=True)
    kept = list[int]()
    if retention.keep_last is not None:
        # The present is a save too.
        at = max(retention.keep_last, 1)
        kept.append(saves[at - 1].version if at <= len(saves) else 0)
    if retention.keep_days is not None:
        since = datetime.now(UTC) - timedelta(days=retention.keep_days)
        kept.append(next((each.version for each in saves if each.at < since), 0))
    return min(kept)


def _doomed(handle: ScopeHandle, horizon: int) -> Iterator[str]:
    pins = sorted(past.pins(handle))
    for key, until, _ in handle._stamps(PAST):
        since = past_of(key).version
        if until <= horizon and bisect.bisect_left(pins, since) == bisect.bisect_right(pins, until):
            yield key
    kept = [Source(handle, version) for version in {horizon, *(pin for pin in pins if pin < horizon)}]
    seen = [(source.conversation, source.end) for source in kept]
    conversation, end = Source(handle, horizon).conversation, Source(handle, horizon).end
    gone = [(0, min(conversation.first, end)), *conversation.gone]
    for number in (number for start, stop in gone for number in range(start, stop)):
        if not any(number < last and each.has(number) for each, last in seen):
            for key in (numbered(MESSAGE, number), numbered(EDIT, number)):
                if handle.exists(key):
                    yield key
