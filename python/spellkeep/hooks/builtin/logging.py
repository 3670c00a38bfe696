"""A line of the program's log for each change."""

from __future__ import annotations

import logging
from typing import Any

from spellkeep.hooks.base import Observer
from spellkeep.redaction import Redactor


class Logging(Observer):
    """Logs what was changed, and values only if asked, without secrets.

    Args:
        logger: where to.
        level: at which level.
        show_value: whether to show values.
        value_chars: no more of a value than so many characters.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire")

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        level: int = logging.INFO,
        show_value: bool = False,
        value_chars: int = 200,
        redactor: Redactor | None = None,
    ) -> None:
        self._logger = logger or logging.getLogger("spellkeep.hooks")
        self._level = level
        self._show_value = show_value
        self._value_chars = value_chars
        self._redactor = redactor or Redactor()

    def decide(self, context: Any) -> None:
        """Log it."""
        if not self._logger.isEnabledFor(self._level):
            return
        parts = [context.operation, str(context.scope), *([] if context.key is None else [repr(context.key)])]
        if self._show_value and context.operation == "set":
            parts.append(repr(self._redactor.given(context))[: self._value_chars])
        if context.correlation is not None:
            parts.append(f"correlation={context.correlation}")
        self._logger.log(self._level, "%s version=%d", self._redactor.text(" ".join(parts)), context.version)
