"""Hooks that are ready to use: ``from spellkeep.hooks.builtin import RateLimit``. Each is a file of its own.

What each answers follows from what it is given, its options and what it was given before; those that look at the time
take a clock, so that they can be run again on what was recorded.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spellkeep.hooks.builtin.audit import Audit
    from spellkeep.hooks.builtin.cache_invalidation import CacheInvalidation
    from spellkeep.hooks.builtin.caching import Caching
    from spellkeep.hooks.builtin.cost import CostTracking
    from spellkeep.hooks.builtin.debugging import Debugging
    from spellkeep.hooks.builtin.logging import Logging
    from spellkeep.hooks.builtin.metrics import Metrics
    from spellkeep.hooks.builtin.rate_limit import RateLimit
    from spellkeep.hooks.builtin.retry import Retry
    from spellkeep.hooks.builtin.security import Security
    from spellkeep.hooks.builtin.validation import Validation

_ROOMS = {
    "Audit": "audit",
    "CacheInvalidation": "cache_invalidation",
    "Caching": "caching",
    "CostTracking": "cost",
    "Debugging": "debugging",
    "Logging": "logging",
    "Metrics": "metrics",
    "RateLimit": "rate_limit",
    "Retry": "retry",
    "Security": "security",
    "Validation": "validation",
}

__all__ = [
    "Audit",
    "CacheInvalidation",
    "Caching",
    "CostTracking",
    "Debugging",
    "Logging",
    "Metrics",
    "RateLimit",
    "Retry",
    "Security",
    "Validation",
]


def __getattr__(name: str) -> Any:
    # Some need a library of the extra `hooks`.
    if name in _ROOMS:
        from importlib import import_module

        return getattr(import_module(f"spellkeep.hooks.builtin.{_ROOMS[name]}"), name)
    raise AttributeError(f"module 'spellkeep.hooks.builtin' has no attribute {name!r}")
