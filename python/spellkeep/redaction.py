"""Hiding what is secret in a value that leaves the store: by the names of fields, and by what secrets look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# The rules are the core's, which keeps to them where it writes.
from spellkeep._core import is_secret_name, redact_text, secrets_in

HIDDEN = "[redacted]"

# Beyond it everything is hidden: whoever nests so deep is not shown to people.
_DEPTH_MAX = 64


class Redactor:
    """Hides the values of secret fields, whole, and what looks like a secret in any text.

    Args:
        fields: more names of fields, exactly as they are written.
        patterns: more regular expressions.
    """

    def __init__(self, fields: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self._fields = frozenset(fields)
        own = "|".join(patterns)
        self._own = re.compile(own) if own else None

    def is_secret(self, name: str) -> bool:
        """Whether a field of this name is hidden."""
        return name in self._fields or is_secret_name(name)

    def text(self, text: str) -> str:
        """The text without what looks like a secret."""
        if self._own is None:
            return redact_text(text)
        kept, end = list[str](), 0
        for start, stop in sorted([*secrets_in(text), *(found.span() for found in self._own.finditer(text))]):
            # What overlaps is hidden as one.
            if start >= end and start < stop:
                kept += text[end:start], HIDDEN
            end = max(end, stop)
        return "".join([*kept, text[end:]])

    def is_secret_key(self, key: str | None) -> bool:
        """Whether the key of an entry names a secret: ``context/token``."""
        return key is not None and any(map(self.is_secret, key.split("/")))

    def entry(self, key: str | None, value: Any) -> Any:
        """The value of an entry without secrets; nothing of it where the key names one (``context/token``)."""
        return HIDDEN if value is not None and self.is_secret_key(key) else self.value(value)

    def given(self, context: Any) -> Any:
        """The value that a hook is given, without secrets; nothing of a sealed one, which is not opened for it."""
        return HIDDEN if is_sealed(context.state_class) else self.entry(context.key, context.value)

    def value(self, value: Any) -> Any:
        """The value without secrets, made of what is written as it is read: dicts, lists, texts and numbers; of
        anything else its class."""
        return self._shown(value, 0)

    def _shown(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if depth < _DEPTH_MAX:
            if isinstance(value, Mapping):
                return {self._name(name): self._field(name, each, depth) for name, each in value.items()}
            if isinstance(value, list | tuple | set | frozenset):
                return [self._shown(each, depth + 1) for each in value]
        return f"<{type(value).__name__}>"

    def _name(self, name: Any) -> str:
        return self.text(str(name))

    def _field(self, name: Any, value: Any, depth: int) -> Any:
        return HIDDEN if isinstance(name, str) and self.is_secret(name) else self._shown(value, depth + 1)


def is_sealed(state_class: Any) -> bool:
    """Whether what is of this class is shown to nobody: ``StateClass.SENSITIVE``."""
    return getattr(state_class, "name", None) == "SENSITIVE"


is_secret_key = Redactor().is_secret_key
"""Whether the key of an entry names a secret."""
