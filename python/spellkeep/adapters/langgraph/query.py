"""What a search and a listing of namespaces match."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any

from langgraph.store.base import MatchCondition

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an item's value has what a filter asks for; ``user.name`` is the ``name`` in ``user``.

    Raises: ValueError for an operator that there is none of.
    """
    return all(_fits(_found(value, key), condition) for key, condition in wanted.items())


def _found(value: Mapping[str, Any], key: str) -> Any:
    if key in value or "." not in key:
        return value.get(key)
    first, _, rest = key.partition(".")
    inner = value.get(first)
    return _found(inner, rest) if isinstance(inner, dict) else None


def _fits(found: Any, condition: Any) -> bool:
    if isinstance(condition, dict):
        if any(isinstance(key, str) and key.startswith("$") for key in condition):
            return all(_compares(found, operator, other) for operator, other in condition.items())
        return isinstance(found, dict) and matches(found, condition)
    if isinstance(condition, list | tuple):
        return isinstance(found, list | tuple) and len(found) == len(condition) and all(map(_fits, found, condition))
    return bool(found == condition)


def _compares(found: Any, operator: str, other: Any) -> bool:
    if operator == "$eq":
        return bool(found == other)
    if operator == "$ne":
        return bool(found != other)
    if operator not in _ORDERS:
        raise ValueError(f"unsupported operator {operator!r}: $eq, $ne, $gt, $gte, $lt or $lte")
    compare = _ORDERS[operator]
    try:
        return bool(compare(found, other))
    except TypeError:
        # What cannot be compared, a text with a number or a missing field with anything, is no match.
        return False


def namespace_fits(namespace: tuple[str, ...], conditions: Sequence[MatchCondition] | None) -> bool:
    """Whether a namespace begins or ends as each condition says; ``*`` stands for any label."""
    for condition in conditions or ():
        path = condition.path
        if len(namespace) < len(path):
            return False
        if condition.match_type == "prefix":
            part = namespace[: len(path)]
        elif condition.match_type == "suffix":
            part = namespace[len(namespace) - len(path) :]
        else:
            raise ValueError(f"unsupported match type {condition.match_type!r}: prefix or suffix")
        if any(wanted not in ("*", label) for wanted, label in zip(path, part, strict=True)):
            return False
    return True
