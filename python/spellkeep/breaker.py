"""Leaving in peace what refuses, or takes too long: a circuit breaker."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spellkeep.errors import LimitExceeded

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
"""Closed: attempts are made. Open: none is. Half open: a few probes decide."""

# A doubling more makes no difference to any cap.
_DOUBLINGS_MAX = 32


@dataclass(frozen=True, kw_only=True)
class BreakerOptions:
    """When a breaker opens and closes again.

    Attributes:
        window_count: so many last attempts count.
        samples_min: it never opens on fewer than these: one failure of one attempt says nothing.
        failure_ratio: it opens once this part of them failed; above 0 and up to 1.
        slow_ratio: and once this part of them was slow, whether they failed or not; above 0 and up to 1; None: never.
        open_s: how long it stays open before it lets probes through.
        open_max_s: each probe that fails doubles the time up to this, and the time is drawn between 0 and that (full
            jitter), so that many breakers do not probe at once. None: always ``open_s``.
        probe_count: so many probes must succeed, one after the other, before it closes. One that fails opens it again.
    """

    window_count: int = 10
    samples_min: int = 5
    failure_ratio: float = 0.5
    slow_ratio: float | None = None
    open_s: float = 30.0
    open_max_s: float | None = None
    probe_count: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no breaker."""
        if not 1 <= self.samples_min <= self.window_count <= 10_000:
            raise LimitExceeded("1 <= samples_min <= window_count <= 10,000", code="breaker.option")
        if not (0 < self.failure_ratio <= 1 and (self.slow_ratio is None or 0 < self.slow_ratio <= 1)):
            raise LimitExceeded("failure_ratio and slow_ratio are above 0 and at most 1", code="breaker.option")
        if not (self.open_s >= 0 and 1 <= self.probe_count <= 10_000):
            raise LimitExceeded("open_s >= 0 and 1 <= probe_count <= 10,000", code="breaker.option")
        if self.open_max_s is not None and not self.open_max_s >= self.open_s:
            raise LimitExceeded("open_max_s is at least open_s", code="breaker.option")


class CircuitBreaker:
    """Counts attempts that succeeded and failed, and says whether another may be made. For any number of threads.

    Attributes:
        opened_count: how many times it has opened.
    """

    def __init__(
        self,
        options: BreakerOptions,
        now: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._options = options
        self._now = now
        self._draw = draw
        self._lock = threading.Lock()
        self.opened_count = 0
        self._reopened_count = 0
        self._close()

    def _close(self) -> None:
        # Of each attempt, whether it failed and whether it was slow.
        self._outcomes = deque[tuple[bool, bool]](maxlen=self._options.window_count)
        self._opened_at: float | None = None
        self._open_s = 0.0
        self._probing = False
        self._probed_count = 0

    def _open(self) -> None:
        options = self._options
        self._close()
        self._opened_at = self._now()
        self._open_s = options.open_s
        if options.open_max_s is not None:
            self._open_s = min(options.open_max_s, options.open_s * 2.0 ** min(self._reopened_count, _DOUBLINGS_MAX))
            self._open_s *= self._draw()
        self.opened_count += 1
        self._reopened_count += 1

    @property
    def retry_in_s(self) -> float:
        """How long it stays open; 0 when it is not."""
        opened_at = self._opened_at
        return 0.0 if opened_at is None else max(opened_at + self._open_s - self._now(), 0.0)

    @property
    def state(self) -> BreakerState:
        """What it is now."""
        if self._opened_at is None:
            return "closed"
        return "open" if self.retry_in_s > 0 else "half_open"

    def allow(self) -> bool:
        """Whether an attempt may be made; whoever is told so says how it went. Half open, one at a time may."""
        with self._lock:
            if self.state == "half_open" and not self._probing:
                self._probing = True
                return True
            return self.state == "closed"

    def succeeded(self, count: int = 1, *, slow: bool = False) -> None:
        """So many attempts succeeded; slow ones count as such."""
        with self._lock:
            if self._opened_at is None:
                self._outcomes.extend([(False, slow)] * min(count, self._options.window_count))
                if slow:
                    self._judge()
            elif self._probing:
                self._probed(slow and self._options.slow_ratio is not None)

    def _probed(self, badly: bool) -> None:
        self._probing = False
        if badly:
            self._open()
            return
        self._probed_count += 1
        if self._probed_count >= self._options.probe_count:
            self._close()
            self._reopened_count = 0

    def failed(self, *, slow: bool = False) -> None:
        """An attempt failed."""
        with self._lock:
            if self._opened_at is not None:
                # A late failure of an attempt that was allowed before it opened says nothing new.
                if self._probing:
                    self._probed(True)
                return
            self._outcomes.append((True, slow))
            self._judge()

    def _judge(self) -> None:
        options, count = self._options, len(self._outcomes)
        if count < options.samples_min:
            return
        failed = sum(failed for failed, _ in self._outcomes)
        slow = sum(slow for _, slow in self._outcomes)
        if (failed and failed >= options.failure_ratio * count) or (
            options.slow_ratio is not None and slow and slow >= options.slow_ratio * count
        ):
            self._open()

    def trip(self) -> None:
        """Open it, whatever the attempts were."""
        with self._lock:
            if self._opened_at is None or self._probing:
                self._open()

    def abandoned(self) -> None:
        """An attempt that was allowed ended without saying anything about what was tried."""
        with self._lock:
            self._probing = False
