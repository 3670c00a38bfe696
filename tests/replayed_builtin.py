"""Builtin hooks as the tests of replay name them; each process has its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from spellkeep.hooks.builtin import (
    Audit,
    CacheInvalidation,
    Caching,
    CostTracking,
    Debugging,
    Logging,
    Metrics,
    Retry,
    Security,
    Validation,
)
from spellkeep.hooks.builtin.cost import Price


def _refuses_some(change: Any) -> None:
    if change.operation == "set" and change.value["n"] % 9 == 0:
        raise OSError


def make(name: str) -> Any:
    """A fresh one."""
    makers = {
        "CacheInvalidation": lambda: CacheInvalidation({"*": lambda scope, key: None}),
        "Caching": lambda: Caching(),
        "CostTracking": lambda: CostTracking({("p", "m"): Price(Decimal(1), Decimal(2))}),
        "Debugging": lambda: Debugging(values=True),
        "Logging": lambda: Logging(show_value=True),
        "Metrics": lambda: Metrics(),
        "Retry": lambda: Retry(_refuses_some, attempts_max=2, backoff_s=0),
        "Security": lambda: Security(),
        "Validation": lambda: Validation(bytes_max=110),
    }
    return makers[name]()


cache_invalidation = make("CacheInvalidation")
caching = make("Caching")
cost_tracking = make("CostTracking")
debugging = make("Debugging")
logging = make("Logging")
metrics = make("Metrics")
retry = make("Retry")
security = make("Security")
validation = make("Validation")


def audit(change: Any, state: Any) -> None:
    """It writes: into the store that it is given."""
    Audit(state).decide(change)
