"""What a change makes stale is told to the caches that hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spellkeep import _core
from spellkeep.hooks.base import Observer
from spellkeep.scope import StateScope

Invalidate = Callable[[StateScope, str | None], object]
"""Is told scope and key, or None for the key when the whole scope was cleared."""


class CacheInvalidation(Observer):
    """Calls functions for what is stale.

    Args:
        caches: patterns of keys (``*`` any text, ``?`` one character), and what to call for a key that fits.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire")

    def __init__(self, caches: Mapping[str, Invalidate]) -> None:
        self._caches = [(_core.HookFilter(key=pattern), call) for pattern, call in caches.items()]
        self.invalidated_count = 0

    def decide(self, context: Any) -> None:
        """Tell them. One that raises is told again, and so are those before it."""
        for filter, call in self._caches:
            if filter.lets(context.scope, context.key, None):
                call(context.scope, context.key)
                self.invalidated_count += 1
