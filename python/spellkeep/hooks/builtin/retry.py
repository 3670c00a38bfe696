"""Passing changes on to something that fails now and then: tried again, later each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from spellkeep.errors import LimitExceeded
from spellkeep.hooks.base import Observer
from spellkeep.hooks.result import HookResult


class Retry(Observer):
    """Calls `function` with each change. While it raises one of `errors` the change comes again.

    Unlike the attempts of the registry these are no failures: no breaker opens. Register it with a breaker of its own
    for everything else that the function may raise.

    Args:
        attempts_max: then the change is given up, and is in ``given_up``.
        backoff_s: before the second attempt; twice as long before each one more, up to `backoff_max_s`.
        kept_max: so many changes that were given up are kept.
    """

    points = ("after_set", "after_delete", "after_clear")

    def __init__(
        self,
        function: Callable[[Any], object],
        *,
        errors: tuple[type[Exception], ...] = (OSError,),
        attempts_max: int = 5,
        backoff_s: float = 0.1,
        backoff_max_s: float = 30.0,
        kept_max: int = 1_000,
    ) -> None:
        if not (attempts_max >= 1 and 0 <= backoff_s <= backoff_max_s):
            raise LimitExceeded("attempts_max is at least 1, and 0 <= backoff_s <= backoff_max_s", code="hook.option")
        self._function, self._errors = function, errors
        self._attempts_max, self._backoff_s, self._backoff_max_s = attempts_max, backoff_s, backoff_max_s
        self._version = self._attempts = 0
        self.given_up: deque[Any] = deque(maxlen=kept_max)

    def decide(self, context: Any) -> HookResult | None:
        """Call the function."""
        if context.version != self._version:
            self._version, self._attempts = context.version, 0
        try:
            self._function(context)
        except self._errors as error:
            self._attempts += 1
            if self._attempts >= self._attempts_max:
                self.given_up.append(context)
                return HookResult.skip()
            after_s = min(self._backoff_s * 2.0 ** min(self._attempts - 1, 64), self._backoff_max_s)
            return HookResult.retry(after_s, type(error).__name__)
        return None
