"""Builtin hooks as the tests of replay name them; each process has its own."""

from __future__ import annotations

import re
from collections.abc import Callable
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
    RateLimit,
    Retry,
    Security,
    Validation,
)
from spellkeep.hooks.builtin.cost import Price
from spellkeep.hooks.builtin.security import SecurityRule


def _refuses_some(change: Any) -> None:
    if change.operation == "set" and change.value["n"] % 9 == 0:
        raise OSError


MAKERS: dict[str, Callable[[], Any]] = {
    "Audit": Audit,
    "CacheInvalidation": lambda: CacheInvalidation({"*": lambda scope, key: None}),
    "Caching": Caching,
    "CostTracking": lambda: CostTracking({("p", "m"): Price(Decimal(1), Decimal(2))}),
    "Debugging": lambda: Debugging(values=True),
    "Logging": lambda: Logging(show_value=True),
    "Metrics": Metrics,
    # A new bucket is full; then some operations find a token, and some do not.
    "RateLimit": lambda: RateLimit(per_s=300.0, burst=5),
    "Retry": lambda: Retry(_refuses_some, attempts_max=2, backoff_s=0),
    # Not what counts as a secret everywhere: that would not be written down.
    "Security": lambda: Security((SecurityRule(name="badges", fields=("badge",)),)),
    "Validation": lambda: Validation(bytes_max=110),
}


def place(name: str) -> str:
    """Where another process finds one."""
    return "replayed_builtin:" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


globals().update({place(name).partition(":")[2]: make() for name, make in MAKERS.items()})
secrets = Security()
