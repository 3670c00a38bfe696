"""One hook as it is registered: what it is for, its breaker, its figures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from spellkeep import _core
from spellkeep.breaker import BreakerOptions, BreakerState, CircuitBreaker
from spellkeep.errors import LimitExceeded
from spellkeep.hooks.log import FAILED
from spellkeep.hooks.result import HookPoint

BREAKER = BreakerOptions(window_count=20, samples_min=5, slow_ratio=0.8, open_s=1.0, open_max_s=60.0)
"""Of hooks that bring no options."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How a hook runs. See `HookRegistry.register`."""

    priority: int = 0
    fail_closed: bool = True
    budget_s: float = 0.05
    breaker: BreakerOptions | None = None
    history: bool = True
    batch: bool = False
    attempts_max: int = 5
    since: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is beyond its limits."""
        if not 0 < self.budget_s <= 3600:
            raise LimitExceeded("budget_s is above 0 and at most an hour", code="hook.option")
        if not 1 <= self.attempts_max <= 1_000_000:
            raise LimitExceeded("attempts_max is 1 to 1,000,000", code="hook.option")


@dataclass(frozen=True, kw_only=True)
class HookInfo:
    """A hook as `HookRegistry.ls` shows it."""

    name: str
    points: tuple[HookPoint, ...]
    priority: int
    enabled: bool
    fail_closed: bool
    breaker: BreakerState


@dataclass(frozen=True, kw_only=True)
class HookStats:
    """Figures of one hook in this process. Quantiles are at most a quarter too long.

    Attributes:
        count: executions; the sum of the six below it.
        slow_count: those beyond the time budget.
        refused_count: times when the breaker was open.
        unrecorded_count: executions that the history does not have, because it could not be written fast enough.
        breaker_opened_count: how many times the breaker opened.
        position: of an after-hook, the version up to which everything was delivered; else 0.
        given_up_count: changes that an after-hook failed on until its attempts were over.
        too_deep_count: changes that were made eight hooks deep, and delivered no further.
        dropped_count: versions that the log no longer had when an after-hook came to them.
    """

    name: str
    count: int = 0
    proceeded_count: int = 0
    modified_count: int = 0
    cancelled_count: int = 0
    retry_count: int = 0
    skipped_count: int = 0
    failed_count: int = 0
    slow_count: int = 0
    refused_count: int = 0
    unrecorded_count: int = 0
    given_up_count: int = 0
    dropped_count: int = 0
    too_deep_count: int = 0
    breaker_opened_count: int = 0
    breaker: BreakerState = "closed"
    position: int = 0
    total_s: float = 0.0
    max_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    last_error: str | None = None


class Registered(_core.Hook):
    """A hook of a registry. The compiled core calls it, and the methods with an underscore for what is rare."""

    def __new__(
        cls,
        name: str,
        call: Callable[[Any], Any],
        points: tuple[HookPoint, ...],
        *,
        filter: _core.HookFilter,
        how: How,
        told: Callable[[Registered, Any, int, int, BaseException | None, int | None], None],
    ) -> Registered:
        """See `HookRegistry.register`; `told` writes down what is to be known at once."""
        return super().__new__(
            cls, call, filter, fail_closed=how.fail_closed, budget_s=how.budget_s, records=how.history
        )

    def __init__(
        self,
        name: str,
        call: Callable[[Any], Any],
        points: tuple[HookPoint, ...],
        *,
        filter: _core.HookFilter,
        how: How,
        told: Callable[[Registered, Any, int, int, BaseException | None, int | None], None],
    ) -> None:
        self.name = name
        self.call = call
        self.points = points
        self.filter = filter
        self.priority = how.priority
        self.fail_closed = how.fail_closed
        self.records = how.history
        self.budget_s = how.budget_s
        self.enabled = True
        self.breaker = CircuitBreaker(how.breaker or BREAKER)
        self.last_error: str | None = None
        self._told = told
        self._lock = threading.Lock()

    # Called by the compiled core.

    def _admit(self) -> bool:
        return self.breaker.allow()

    def _ended(self, succeeded: bool, slow: bool, untold_count: int) -> None:
        with self._lock:
            if untold_count:
                self.breaker.succeeded(untold_count)
            if succeeded:
                self.breaker.succeeded(slow=slow)
            else:
                self.breaker.failed(slow=slow)
            self._set_free(self.enabled and self.breaker.state == "closed")

    def switch(self, enabled: bool) -> None:
        """Let it run or not, also in the middle of what it was given."""
        with self._lock:
            self.enabled = enabled
            self._set_free(enabled and self.breaker.state == "closed")

    def overdue(self) -> None:
        """A call goes on beyond its budget: nothing more of it until a probe, whatever comes of that one."""
        with self._lock:
            self.breaker.trip()
            self._set_free(False)

    def _abandoned(self) -> None:
        self.breaker.abandoned()

    def _tell(
        self, context: Any, outcome: int, ns: int, error: BaseException | None, answered: int | None = None
    ) -> None:
        if outcome == FAILED and error is not None:
            # A veto stands for what the hook raised. No more of it than its class: its text may hold what is secret.
            cause = error.__cause__ or error
            self.last_error = type(cause).__name__
        if self.records:
            self._told(self, context, outcome, ns, error, answered)

    # For the registry.

    @property
    def info(self) -> HookInfo:
        """How it is listed."""
        return HookInfo(
            name=self.name,
            points=self.points,
            priority=self.priority,
            enabled=self.enabled,
            fail_closed=self.fail_closed,
            breaker=self.breaker.state,
        )

    def stats(self, **more: Any) -> HookStats:
        """Figures as of now."""
        return HookStats(
            name=self.name,
            **self._figures(),
            **more,
            breaker=self.breaker.state,
            breaker_opened_count=self.breaker.opened_count,
            last_error=self.last_error,
        )

    def stored_figures(self) -> dict[str, Any]:
        """What the next process, and the command line, may read of them: what is not nothing."""
        return {
            name: value for name, value in asdict(self.stats()).items() if value and name not in ("name", "position")
        }
