"""Leaving a store in peace that refuses: a circuit breaker."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spellkeep.errors import LimitExceeded

BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
"""Closed: attempts are made. Open: none is. Half open: a few probes decide."""


@dataclass(frozen=True, kw_only=True)
class BreakerOptions:
    """When a breaker opens and closes again.

    Attributes:
        window_count: so many last attempts count.
        samples_min: it never opens on fewer than these: one failure of one attempt says nothing.
        failure_ratio: it opens once this part of them failed; above 0 and up to 1.
        open_s: how long it stays open before it lets probes through.
        probe_count: so many probes must succeed, one after the other, before it closes. One that fails opens it again.
    """

    window_count: int = 10
    samples_min: int = 5
    failure_ratio: float = 0.5
    open_s: float = 30.0
    probe_count: int = 1

    def __post_init__(self) -> None:
        """Refuse what makes no breaker."""
        if not 1 <= self.samples_min <= self.window_count <= 10_000:
            raise LimitExceeded("1 <= samples_min <= window_count <= 10,000", code="autosave.option")
        if not 0 < self.failure_ratio <= 1:
            raise LimitExceeded("failure_ratio is above 0 and at most 1", code="autosave.option")
        if not (self.open_s >= 0 and 1 <= self.probe_count <= 10_000):
            raise LimitExceeded("open_s >= 0 and 1 <= probe_count <= 10,000", code="autosave.option")


class CircuitBreaker:
    """Counts attempts that succeeded and failed, and says whether another may be made. For any number of threads."""

    def __init__(self, options: BreakerOptions, now: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._now = now
        self._lock = threading.Lock()
        self._close()

    def _close(self) -> None:
        self._outcomes = deque[bool](maxlen=self._options.window_count)
        self._opened_at: float | None = None
        self._probing = False
        self._probed_count = 0

    def _open(self) -> None:
        self._close()
        self._opened_at = self._now()

    @property
    def retry_in_s(self) -> float:
        """How long it stays open; 0 when it is not."""
        opened_at = self._opened_at
        return 0.0 if opened_at is None else max(opened_at + self._options.open_s - self._now(), 0.0)

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

    def succeeded(self) -> None:
        """An attempt succeeded."""
        with self._lock:
            if self._opened_at is None:
                self._outcomes.append(True)
            elif self._probing:
                self._probing = False
                self._probed_count += 1
                if self._probed_count >= self._options.probe_count:
                    self._close()

    def failed(self) -> None:
        """An attempt failed."""
        with self._lock:
            if self._opened_at is not None:
                # A late failure of an attempt that was allowed before it opened says nothing new.
                if self._probing:
                    self._open()
                return
            self._outcomes.append(False)
            count, failed = len(self._outcomes), self._outcomes.count(False)
            if count >= self._options.samples_min and failed >= self._options.failure_ratio * count:
                self._open()

    def abandoned(self) -> None:
        """An attempt that was allowed ended without saying anything about the store."""
        with self._lock:
            self._probing = False
