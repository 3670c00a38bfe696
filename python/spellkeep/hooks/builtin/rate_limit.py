"""Not more than so many operations a second: a bucket of tokens for each who asks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from spellkeep.errors import LimitExceeded
from spellkeep.hooks.base import Validator
from spellkeep.hooks.result import HookResult


class RateLimit(Validator):
    """Lets so many operations through, and says of the others when they may come again (``hook.retry``).

    Args:
        per_s: tokens that each bucket gets a second; above 0.
        burst: tokens that fit in; a new bucket is full. At least 1.
        by: whose bucket; the scope if not given.
        buckets_max: the bucket that was used least recently goes beyond so many.
        now_s: a clock that never goes back.
    """

    points = ("before_set", "before_delete", "before_clear")

    def __init__(
        self,
        per_s: float,
        burst: float = 1.0,
        *,
        by: Callable[[Any], object] | None = None,
        buckets_max: int = 10_000,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (per_s > 0 and burst >= 1 and buckets_max >= 1):
            raise LimitExceeded("per_s is above 0, burst and buckets_max are at least 1", code="hook.option")
        self._per_s, self._burst, self._buckets_max = per_s, burst, buckets_max
        self._by = by or (lambda context: context.scope)
        self._now_s = now_s
        self._lock = threading.Lock()
        # Tokens, and when there were so many.
        self._buckets: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def decide(self, context: Any) -> HookResult | None:
        """Take a token, or say when there is one."""
        # All that the answer depends on: a replay takes no token.
        tokens, _ = context.recorded(lambda: self._taken(context))
        if tokens >= 1:
            return None
        return HookResult.retry((1 - tokens) / self._per_s, f"more than {self._per_s:g} a second")

    def _taken(self, context: Any) -> tuple[float, float]:
        """What was in the bucket before, and when that was."""
        who, now = self._by(context), self._now_s()
        with self._lock:
            tokens, then = self._buckets.pop(who, (self._burst, now))
            tokens = min(tokens + (now - then) * self._per_s, self._burst)
            self._buckets[who] = (tokens - 1 if tokens >= 1 else tokens, now)
            while len(self._buckets) > self._buckets_max:
                self._buckets.popitem(last=False)
        return float(tokens), float(now)
