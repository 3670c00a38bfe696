"""What differs between two documents, how similar they are, and how to show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spellkeep.redaction import Redactor

_redactor = Redactor()
_SHOWN_MAX = 120


class _Missing:
    def __repr__(self) -> str:
        return "(nothing)"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """One place where two documents differ; what is not there is ``MISSING``."""

    path: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.path, self.left)} -> {_shown(self.path, self.right)}"


@dataclass(frozen=True)
class Comparison:
    """Two documents side by side.

    Attributes:
        differences: in the order of the left one.
        score: how much of both is the same, 0 to 1.
    """

    differences: tuple[Difference, ...]
    score: float

    @property
    def same(self) -> bool:
        """Whether nothing differs but what was to be ignored."""
        return not self.differences

    def __str__(self) -> str:
        return "\n".join(map(str, self.differences))


def compare(left: Any, right: Any, *, ignore: Iterable[str] = ()) -> Comparison:
    """Compare two values, place by place.

    Args:
        ignore: places that do not count, with all below them: ``"value.at"``; ``*`` is any one name.
    """
    ignored = [re.compile(r"(?:" + re.escape(path).replace(r"\*", r"[^.]*") + r")(?:\..*)?") for path in ignore]
    places = [dict(_leaves(side, "")) for side in (left, right)]
    for side in places:
        for path in [path for path in side if any(pattern.fullmatch(path) for pattern in ignored)]:
            del side[path]
    paths = dict.fromkeys([*places[0], *places[1]])
    found = [Difference(path, *(side.get(path, MISSING) for side in places)) for path in paths]
    differences = tuple(each for each in found if not _same(each.left, each.right))
    return Comparison(differences, 1.0 if not paths else 1 - len(differences) / len(paths))


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    inside: Iterable[tuple[Any, Any]] | None = None
    if isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    if inside is None or not value:
        yield path, value
        return
    for name, each in inside:
        yield from _leaves(each, f"{path}.{name}" if path else str(name))


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (left != left and right != right)
    if hasattr(left, "dtype"):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    return bool(left == right)


def _shown(path: str, value: Any) -> str:
    if value is MISSING:
        return repr(value)
    if any(_redactor.is_secret(name) for name in path.split(".")):
        return "[redacted]"
    text = repr(_redactor.value(value))
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."
