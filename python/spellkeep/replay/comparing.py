"""What differs between two documents, how similar they are, and how to show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from spellkeep.redaction import HIDDEN, Redactor

_redactor = Redactor()
_SHOWN_MAX, _BEFORE = 120, 30
# Longer lists are compared item by item: aligning them takes the square of their length.
_ALIGNED_MAX = 1000


class _Missing:
    def __repr__(self) -> str:
        return "(nothing)"


MISSING = _Missing()


@dataclass(frozen=True)
class Difference:
    """One place where two documents differ; what is not there is ``MISSING``. What is `secret` is not shown."""

    path: str
    left: Any
    right: Any
    secret: bool = False

    def __str__(self) -> str:
        sides = [self._side(self.left, self.right), self._side(self.right, self.left)]
        if sides[0] == sides[1]:
            sides = [f"{sides[0]} ({type(side).__name__})" for side in (self.left, self.right)]
        return f"{self.path}: {sides[0]} -> {sides[1]}"

    def _side(self, value: Any, other: Any) -> str:
        return HIDDEN if self.secret and value is not MISSING else _shown(self.path, value, other)


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
    """Compare two values, place by place. Items that one list has and the other has not move none of the others.

    Args:
        ignore: places that do not count, with all below them: ``"value.at"``; ``*`` is any one name.
    """
    patterns = [_pattern(path) for path in ignored(ignore)]
    places = [
        each for each in _places(left, right, "") if not any(pattern.fullmatch(each.path) for pattern in patterns)
    ]
    differences = tuple(each for each in places if not _same(each.left, each.right))
    return Comparison(differences, 1.0 if not places else 1 - len(differences) / len(places))


def ignored(ignore: Iterable[str]) -> tuple[str, ...]:
    """The places. Raises: TypeError."""
    paths = () if isinstance(ignore, str) else tuple(ignore)
    if isinstance(ignore, str) or not all(isinstance(path, str) for path in paths):
        raise TypeError(f"ignore= is several str, such as a tuple, not {ignore!r}")
    return paths


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(r"(?:" + re.escape(path).replace(r"\*", r"[^.]*") + r")(?:\..*)?")


def _places(left: Any, right: Any, path: str) -> Iterator[Difference]:
    """Every place of both, with what is there."""
    pairs: Iterable[tuple[Any, Any, Any]]
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        pairs = ((name, left.get(name, MISSING), right.get(name, MISSING)) for name in {**left, **right})
    elif isinstance(left, list | tuple) and type(left) is type(right):
        pairs = _aligned(left, right)
    elif (left is MISSING or right is MISSING) and isinstance(
        inside := right if left is MISSING else left, Mapping | list | tuple
    ):
        # What only one of them has counts by its places.
        named = inside.items() if isinstance(inside, Mapping) else enumerate(inside)
        pairs = ((name, MISSING, each) if left is MISSING else (name, each, MISSING) for name, each in named)
    else:
        yield Difference(path, left, right)
        return
    empty = True
    for name, one, other in pairs:
        empty = False
        yield from _places(one, other, f"{path}.{name}" if path else str(name))
    if empty:
        yield Difference(path, left, right)


def _aligned(left: Sequence[Any], right: Sequence[Any]) -> Iterator[tuple[int, Any, Any]]:
    """The items of two lists, the same ones beside each other, with the number in the left one where there is one."""
    if len(left) == len(right) or max(len(left), len(right)) > _ALIGNED_MAX:
        yield from ((at, *both) for at, both in enumerate(zip_longest(left, right, fillvalue=MISSING)))
        return
    keys = [[repr(item) for item in side] for side in (left, right)]
    for _, begin, end, other_begin, other_end in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        both = zip_longest(left[begin:end], right[other_begin:other_end], fillvalue=MISSING)
        for at, (one, other) in enumerate(both):
            yield (begin if one is not MISSING else other_begin) + at, one, other


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (left != left and right != right)
    if hasattr(left, "dtype"):
        return bool(left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes())
    return bool(left == right)


def _shown(path: str, value: Any, other: Any) -> str:
    if value is MISSING:
        return repr(value)
    if any(_redactor.is_secret(name) for name in path.split(".")):
        return HIDDEN
    clear = _redactor.value(value)
    text = repr(clear)
    if len(text) <= _SHOWN_MAX:
        return text
    if isinstance(clear, str) and isinstance(other, str):
        # Of long texts the part where they differ.
        pairs = enumerate(zip(clear, _redactor.value(other), strict=False))
        begin = max(next((at for at, (one, two) in pairs if one != two), len(clear)) - _BEFORE, 0)
        if begin:
            rest = clear[begin : begin + _SHOWN_MAX]
            return f"...{rest!r}{'...' if begin + _SHOWN_MAX < len(clear) else ''}"
    return f"{text[:_SHOWN_MAX]}..."
