"""What debuggers and logs show of agents."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from spellkeep.errors import StateError


def safely(describe: Callable[[Any], str]) -> Callable[[Any], str]:
    """A ``__repr__`` that does not raise, as it is asked for at any time: when the store is closed it says so."""

    @wraps(describe)
    def shown(self: Any) -> str:
        try:
            return describe(self)
        except StateError as error:
            return f"<{type(self).__name__}, {error.code}>"

    return shown
