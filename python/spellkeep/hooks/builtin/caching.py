"""The last values, for readers in other threads that need no version: with a time to live and a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from spellkeep.hooks.base import Observer
from spellkeep.redaction import is_sealed
from spellkeep.scope import StateScope


class Caching(Observer):
    """Keeps values as they are delivered. It needs ``cachetools`` (``pip install 'spellkeep[hooks]'``).

    Args:
        entries_max: the one that was used least recently goes beyond so many.
        ttl_s: how long one is kept.
        now_s: a clock that never goes back.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire")

    def __init__(
        self, entries_max: int = 1_000, ttl_s: float = 60.0, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        import cachetools

        self._lock = threading.Lock()
        self._values: Any = cachetools.TTLCache(entries_max, ttl_s, timer=now_s)
        self.hit_count = self.miss_count = 0

    def decide(self, context: Any) -> None:
        """Keep the value, or forget what is gone or sealed."""
        with self._lock:
            if context.operation == "set" and not is_sealed(context.state_class):
                self._values[context.scope, context.key] = context.value
            elif context.operation == "clear":
                for place in [place for place in self._values if place[0] == context.scope]:
                    del self._values[place]
            else:
                self._values.pop((context.scope, context.key), None)

    def get(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """The value that was delivered last, if it is still kept. It is shared: do not change it."""
        with self._lock:
            found = self._values.get((scope, key), self)
            if found is self:
                self.miss_count += 1
                return default
            self.hit_count += 1
            return found

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)
