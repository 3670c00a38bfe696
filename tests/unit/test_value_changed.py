"""`changed`: which items of two lists would not be kept as the same bytes, and which objects somebody else has."""

from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Any

import pydantic
import pytest

from spellkeep.value import changed, decode, encode, register

NAN = float("nan")
OTHER_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0001))[0]
SAME: list[tuple[Any, Any]] = [
    (1, 1),
    (10**30, 10**30),
    ("text é \ud800", "".join(["text", " é \ud800"])),
    (b"x" * 300, bytes([120]) * 300),
    (NAN, struct.unpack("<d", struct.pack("<d", NAN))[0]),
    (None, None),
    ({"a": [1, {"b": ()}]}, {"a": [1, {"b": ()}]}),
    ({(1, 2): {3}}, {(1, 2): {3}}),
    ([], []),
    (dt.date(2026, 1, 1), dt.date(2026, 1, 1)),
    (bytearray(b"x"), bytearray(b"x")),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    (0, False),
    (0.0, -0.0),
    (NAN, OTHER_NAN),
    ("a", b"a"),
    (b"a", bytearray(b"a")),
    (None, False),
    ([1], (1,)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": None}, {"b": None}),
    ({"a": {}}, {"a": []}),
    ({"a": []}, {"a": [0]}),
    ({1: 0}, {True: 0}),
    ([[], 1], [[], 2]),
    ([1], [1, 2]),
    ({(1, 2): 3}, {(1, 2.0): 3}),
    (object(), object()),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_what_is_kept_as_the_same_bytes_has_not_changed(left: Any, right: Any) -> None:
    assert encode(left) == encode(right)
    assert changed([left, {"in": [left]}], [right, {"in": [right]}]) == []


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_what_is_equal_and_kept_as_other_bytes_has_changed(left: Any, right: Any) -> None:
    assert changed([0, left, {"in": [left]}, 0], [0, right, {"in": [right]}, 0]) == [1, 2]


def test_the_longer_list_is_compared_as_far_as_the_other_goes() -> None:
    assert changed([1, 2, 3], [1, 5]) == [1]
    assert changed([1], [1, 5]) == []
    assert changed([], [1]) == []


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize("depth", [62, 63, 64, 65, 127])
def test_deep_values_are_compared_to_the_end(depth: int) -> None:
    assert changed([nested(depth, 1)], [nested(depth, 1)]) == []
    assert changed([nested(depth, 1)], [nested(depth, 2)]) == [0]


def test_what_cannot_be_kept_differs_and_a_cycle_ends() -> None:
    left, right = [1], [1]
    left.append(left)  # type: ignore[arg-type]
    right.append(right)  # type: ignore[arg-type]
    assert changed([left], [right]) == [0]
    assert changed([left], [left]) == []
    deep = nested(100_000, 1), nested(100_000, 1)
    assert changed([deep[0]], [deep[1]]) == [0]
    for part in deep:
        while type(part) is list:
            part = part.pop()
    assert changed([{"a": object()}], [{"a": object()}]) == [0]


class Note(pydantic.BaseModel):
    text: str = ""
    parts: list[Any] = []


PARTS = (pydantic.BaseModel.__dict__["__dict__"], pydantic.BaseModel.__dict__["__pydantic_extra__"])


def test_objects_are_compared_by_the_parts_that_are_named() -> None:
    pairs = [(Note(text="a"), Note(text="a")), (Note(text="a"), Note(text="b")), (Note(parts=[1]), Note(parts=[1.0]))]
    left, right = map(list, zip(*pairs, strict=True))
    assert changed(left, right, parts=PARTS) == [1, 2]
    # Not registered, so it cannot be kept.
    assert changed(left, right) == [0, 1, 2]
    assert changed([Note()], [{"text": "", "parts": []}], parts=PARTS) == [0]
    assert changed([object()], [object()], parts=PARTS) == [0]


def test_an_object_that_somebody_else_has_is_not_the_lists_alone() -> None:
    def made() -> list[Any]:
        return [Note(parts=[{"a": []}]), {"b": []}, {"c": [[2]]}, "text", 3]

    def others(held: Any) -> list[int]:
        return changed(items, copies, parts=PARTS, sole=True)

    items, copies = made(), made()
    assert others(None) == []
    assert others(items[0]) == [0]
    assert others(items[0].__dict__) == [0]
    assert others(items[0].parts) == [0]
    assert others(items[0].parts[0]) == [0]
    assert others(items[0].parts[0]["a"]) == [0]
    assert others(items[1]["b"]) == [1]
    assert others(items[2]["c"][0]) == [2]
    assert others(items[3]) == []
    items[1]["b"].append(1)
    assert others(None) == [1]
    # What may hide an object that somebody has.
    items[2]["c"] = copies[2]["c"] = ({},)
    assert others(None) == [1, 2]
    assert changed([copies[1]], [copies[1]], sole=True) == [0]


class Meddling:
    """Changes something each time it is kept."""

    def __init__(self, meddle: Any) -> None:
        self.meddle = meddle


register(Meddling, tag="test:meddling", encode=lambda self: self.meddle(), decode=lambda payload, version: payload)


def fresh() -> list[Any]:
    return [object() for _ in range(100)]


@pytest.mark.parametrize("which", ["items", "copies", "list", "other list", "dict", "other dict"])
def test_encode_functions_may_change_what_is_compared(which: str) -> None:
    """Whatever goes away meanwhile, the walk holds what it looks at."""
    meddler = Meddling(lambda: [each.clear() for each in (containers[which],)] and fresh() and 1)
    left: list[Any] = [{"first": [meddler, "x" * 99, "y"], "second": "z" * 99}, ["w" * 99]]
    right: list[Any] = [{"first": [Meddling(lambda: 1), "x" * 99, "y"], "second": "z" * 99}, ["w" * 99]]
    containers: dict[str, Any] = {"items": left, "copies": right, "dict": left[0], "other dict": right[0]}
    containers |= {"list": left[0]["first"], "other list": right[0]["first"]}
    found = changed(left, right)
    assert found == ([1] if which in ("items", "copies") else [0])


def test_an_interrupt_in_an_encode_function_ends_the_comparison() -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        changed([Meddling(interrupted)], [Meddling(interrupted)])

    def failing() -> Any:
        raise RuntimeError

    assert changed([Meddling(failing)], [Meddling(failing)]) == [0]


def test_a_decoded_value_has_not_changed_from_the_value() -> None:
    value = {"a": [1, 2.5, math.inf, None, True, b"b", "c", {"d": (1, {2})}], "e": dt.timedelta(1)}
    assert changed([value], [decode(encode(value))]) == []
