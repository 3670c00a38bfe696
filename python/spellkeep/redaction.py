"""Hiding what is secret in a value that leaves the store: by the names of fields, and by what secrets look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

HIDDEN = "[redacted]"

# Whole words of a name, so that max_tokens, author and keyboard stay what they are.
FIELDS = frozenset(
    {
        *("password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials"),
        *("authorization", "cookie", "otp", "pin", "cvv"),
    }
)
PAIRS = frozenset(
    {
        ("api", "key"),
        ("access", "key"),
        ("private", "key"),
        ("secret", "key"),
        ("encryption", "key"),
        ("access", "token"),
        ("auth", "token"),
        ("refresh", "token"),
        ("bearer", "token"),
        ("session", "token"),
        ("id", "token"),
        ("connection", "string"),
    }
)
ALONE = frozenset({"token", "auth", "apikey", "bearer", "jwt"})
PATTERNS = (
    r"\bsk-(?:[A-Za-z]+-)*[A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer\s+)[A-Za-z0-9._~+/-]{8,}=*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)",
)

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
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
        self._pattern = re.compile("|".join([*PATTERNS, *patterns]))

    def is_secret(self, name: str) -> bool:
        """Whether a field of this name is hidden."""
        if name in self._fields:
            return True
        words = [word.lower() for word in _WORD.findall(name)]
        return (
            not FIELDS.isdisjoint(words)
            or any(pair in PAIRS for pair in pairwise(words))
            or (len(words) == 1 and words[0] in ALONE)
        )

    def text(self, text: str) -> str:
        """The text without what looks like a secret."""
        return self._pattern.sub(HIDDEN, text)

    def is_secret_key(self, key: str | None) -> bool:
        """Whether the key of an entry names a secret: ``context/token``."""
        return key is not None and any(map(self.is_secret, key.split("/")))

    def entry(self, key: str | None, value: Any, state_class: Any = None) -> Any:
        """The value of an entry without secrets; nothing of it where the key names one (``context/token``), or where
        its class is SENSITIVE."""
        if value is not None and (is_sealed(state_class) or self.is_secret_key(key)):
            return HIDDEN
        return self.value(value)

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
