"""The last operations, to look at while a program runs."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, NamedTuple

from spellkeep.errors import LimitExceeded
from spellkeep.hooks.base import Observer
from spellkeep.redaction import HIDDEN, Redactor


class Trace(NamedTuple):
    """One operation; `value` and `old_value` are shown without secrets, and only if asked for."""

    number: int
    operation: str
    scope: str
    key: str | None
    version: int
    correlation: str | None
    value: Any
    old_value: Any


class Debugging(Observer):
    """Keeps the last operations that were asked for, also those that a hook behind it refused.

    Args:
        traces_max: so many.
        values: whether to keep values and what they replace.
    """

    points = ("before_set", "before_delete", "before_clear")

    def __init__(self, traces_max: int = 1_000, *, values: bool = False) -> None:
        if traces_max < 1:
            raise LimitExceeded("traces_max is at least 1", code="hook.option")
        self._lock = threading.Lock()
        self._traces: deque[Trace] = deque(maxlen=traces_max)
        self._values = values
        self._redactor = Redactor()
        self._count = 0

    def decide(self, context: Any) -> None:
        """Keep it."""
        value = old = None
        if self._values:
            value = self._redactor.given(context)
            old, is_sealed = getattr(context, "_old_shown", (None, False))
            old = HIDDEN if is_sealed else self._redactor.entry(context.key, old)
        with self._lock:
            self._count += 1
            self._traces.append(
                Trace(
                    self._count,
                    context.operation,
                    str(context.scope),
                    context.key,
                    context.version,
                    context.correlation,
                    value,
                    old,
                )
            )

    def traces(self, *, scope: str | None = None, key: str | None = None) -> list[Trace]:
        """The ones that are kept, oldest first, perhaps of one scope or key only."""
        with self._lock:
            kept = list(self._traces)
        return [each for each in kept if scope in (None, each.scope) and key in (None, each.key)]
