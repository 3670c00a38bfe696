"""How long executions are kept, as it is stored: one rule for all hooks of a store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from types import EllipsisType
from typing import TYPE_CHECKING

from spellkeep.errors import LimitExceeded
from spellkeep.hooks.log import CANCELLED, FAILED, HOOKS, MODIFIED, RETRY

if TYPE_CHECKING:
    from spellkeep.store import StateManager

IMPORTANT = frozenset({MODIFIED, CANCELLED, RETRY, FAILED})
"""Outcomes without which it cannot be told why a value is what it is, or is not there."""

_RETENTION = "retention"


@dataclass(frozen=True, kw_only=True)
class HistoryRetention:
    """What is kept of the executions of each hook, chunk by chunk; the last eight chunks always are.

    A chunk is important when one of its executions modified something, cancelled, asked for a retry or failed. Whatever
    is beyond its age goes. Of what is left beyond `keep_count`, first the oldest chunks that are not important go, and
    when there is none any more the oldest important ones.

    Attributes:
        keep_count: so many executions, important or not. None: all.
        keep_days: those of so many days. None: of all times.
        keep_important_days: important ones of so many days, and never fewer than `keep_days`. None: of all times.
    """

    keep_count: int | None = 100_000
    keep_days: float | None = 30.0
    keep_important_days: float | None = 365.0

    def __post_init__(self) -> None:
        """Refuse what is beyond its limits."""
        if not isinstance(self.keep_count, int | None):
            raise TypeError(f"keep_count is a whole number or None, not {self.keep_count!r}")
        if self.keep_count is not None and not 0 <= self.keep_count <= 10**12:
            raise LimitExceeded("keep_count is from 0 to 10**12", code="hook.option")
        for name in ("keep_days", "keep_important_days"):
            days = getattr(self, name)
            if days is not None and not 0 <= days <= 36_525:
                raise LimitExceeded(f"{name} is from 0 to 36,525", code="hook.option")

    def days(self, important: bool) -> float | None:
        """How long a chunk is kept."""
        if not important or self.keep_days is None or self.keep_important_days is None:
            return None if important else self.keep_days
        return max(self.keep_days, self.keep_important_days)


def retention_of(state: StateManager) -> HistoryRetention:
    """What the store says."""
    return HistoryRetention(**state.get(HOOKS, _RETENTION, {}))


def change_retention(
    state: StateManager,
    keep_count: int | EllipsisType | None,
    keep_days: float | EllipsisType | None,
    keep_important_days: float | EllipsisType | None,
) -> HistoryRetention:
    """Store what is given, and leave the rest as it is."""
    asked = {"keep_count": keep_count, "keep_days": keep_days, "keep_important_days": keep_important_days}
    given = {name: value for name, value in asked.items() if value is not ...}
    changed = replace(retention_of(state), **given)  # type: ignore[arg-type]
    if given:
        state.set(HOOKS, _RETENTION, asdict(changed))
    return changed
