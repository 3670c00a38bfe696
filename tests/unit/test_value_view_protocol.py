"""Views behave as the dict, list or tuple that they show: the same protocols, keys, errors and equality."""

from __future__ import annotations

import collections.abc as abc
import decimal
import enum

import numpy as np
import pytest

import spellkeep as sk
from spellkeep.value import decode, encode, register, view
from value_samples import conversation, without_footer


def test_a_dict_view_is_a_mapping() -> None:
    plain = conversation(3)
    seen = view(encode(plain))
    assert isinstance(seen, abc.Mapping)
    assert not isinstance(seen, abc.MutableMapping)
    assert len(seen) == 20
    assert list(seen) == list(plain)
    assert list(seen.keys()) == list(plain)
    assert seen.keys() & {"meta", "other"} == {"meta"}
    assert list(seen.values()) == list(plain.values())
    assert list(seen.items()) == list(plain.items())
    assert len(seen.items()) == len(seen.values()) == 20
    assert ("field3", 3) in seen.items()
    assert 17 in seen.values()
    assert 99 not in seen.values()
    assert "meta" in seen
    assert "absent" not in seen
    assert seen.get("absent") is None
    assert seen.get("absent", 7) == 7
    assert seen.get("field3", 7) == 3
    assert dict(seen) == plain
    assert {**seen} == plain
    match seen:
        case {"meta": {"model": model}}:
            assert model == "large"
        case _:
            pytest.fail("a mapping pattern does not match")


def test_a_sequence_view_is_a_sequence() -> None:
    plain = [[number] for number in range(100)]
    for kept in (plain, tuple(plain)):
        seen = view(encode(kept))
        assert isinstance(seen, abc.Sequence)
        assert not isinstance(seen, abc.MutableSequence)
        assert len(seen) == 100
        assert list(seen) == plain
        assert [seen[index] for index in range(-100, 100)] == plain * 2
        assert list(reversed(seen)) == plain[::-1]
        assert [5] in seen
        assert [500] not in seen
        assert seen.index([7]) == 7
        assert seen.index([99], 20) == 99
        assert seen.index([99], -2, 100) == 99
        assert seen.count([3]) == 1
        for bounds in ((8,), (0, 7), (200,)):
            with pytest.raises(ValueError, match="not in"):
                seen.index([7], *bounds)
        match seen:
            case [first, *_]:
                assert first == [0]
            case _:
                pytest.fail("a sequence pattern does not match")
    assert list(view(encode(list(range(5))))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [0, 1, 16, 17, 40, 600])
def test_slices_are_those_of_a_list(size: int) -> None:
    plain = [f"item {number}" for number in range(size)]
    edges = [None, 0, 1, 15, 16, 17, 33, 599, 600, 10**30, -1, -16, -600, -(10**30)]
    # The second is a value as the first version wrote it: nothing says where its items are.
    data = encode(plain)
    for seen in (view(data), view(without_footer(data))):
        for start in edges:
            for stop in edges:
                for step in (None, 1, 2, 17, -1, -3, -40):
                    assert seen[start:stop:step] == plain[start:stop:step]
    assert view(encode(tuple(plain)))[3:9] == tuple(plain)[3:9]
    with pytest.raises(ValueError, match="zero"):
        view(data)[::0]


def test_values_of_the_first_version_are_viewed_too() -> None:
    plain = conversation()
    data = encode(plain)
    assert (data[1], without_footer(data)[1]) == (2, 1)
    seen = view(without_footer(data))
    assert seen["messages"][250]["id"] == 250
    assert seen["meta"] == {"model": "large"}
    assert seen.to_python() == decode(without_footer(data)) == plain


def test_the_errors_are_those_of_dicts_lists_and_tuples() -> None:
    data = {"d": {"a": 1}, "l": [1, 2], "t": (1, 2)}
    seen = view(encode(data))
    for key in ("b", 7, 1.5, None, (1, 2), b"a", True):
        with pytest.raises(KeyError) as caught:
            seen["d"][key]
        assert caught.value.args == (key,)
        assert not isinstance(caught.value, sk.errors.StateError)
    for name in ("l", "t"):
        for index in (2, -3, 10**30, -(10**30)):
            with pytest.raises(IndexError, match="index out of range"):
                seen[name][index]
        for wrong in ("a", 1.0, None):
            with pytest.raises(TypeError, match="indices must be integers or slices"):
                seen[name][wrong]
        assert seen[name][True] == 2
        assert seen[name][np.int64(1)] == 2
    for unhashable in ([], {}):
        with pytest.raises(TypeError, match="unhashable"):
            seen["d"][unhashable]
        with pytest.raises(TypeError, match="unhashable"):
            unhashable in seen["d"]  # noqa: B015
        with pytest.raises(TypeError, match="unhashable"):
            seen["d"].get(unhashable)


class Colour(enum.StrEnum):
    RED = "red"


def test_a_key_is_found_under_everything_that_is_equal_to_it() -> None:
    class Text(str):
        pass

    register(Colour, tag="test.Colour")
    fillers = {f"filler{number}": "x" * 60 for number in range(30)}
    plain = {1: "int", 2.0: "float", Colour.RED: "enum", (1, 2): "tuple", b"b": "bytes", True + 9: "ten"}
    plain |= {"é\ud800": "odd", 10**30: "big", decimal.Decimal("0.5"): "half", frozenset({1}): "set", None: "none"}
    keys = [*plain, 1.0, True, 2, "red", Text("filler3"), 10.0, decimal.Decimal(1), 0.5, 1e30, (1.0, 2)]
    absent = ["RED", 3, False, 0, b"r", (2, 1), Text("no"), float("nan"), 10**30 + 1]
    for kept in (plain, fillers | plain, plain | fillers):
        seen = view(encode(kept))
        for key in [*keys, *absent]:
            assert (key in seen) == (key in kept), key
            assert seen.get(key) == kept.get(key), key
        assert list(seen.items()) == list(kept.items())


def test_equality_is_that_of_the_value() -> None:
    plain = {"a": [1, (2.0, b"x")], "n": float("nan")}
    seen = view(encode(plain))
    assert seen["a"] == plain["a"]
    assert plain["a"] == seen["a"]
    assert seen["a"][1] == (2.0, b"x")
    assert seen["a"][1] != [2.0, b"x"]
    assert seen["a"] != (1, (2.0, b"x"))
    assert seen["a"] != [1]
    assert seen["a"] == view(encode(plain["a"]))
    assert seen["a"] != view(encode(tuple(plain["a"])))
    assert seen != plain
    assert view(encode({"a": {"b": 1}})) == {"a": {"b": 1}}
    assert view(encode({"a": {"b": 1}})) == view(encode({"a": {"b": 1.0}}))
    assert view(encode({"a": 1})) != {"a": 2}
    assert view(encode({"a": 1})) != {"a": 1, "b": 2}
    assert view(encode({"a": 1})) != [("a", 1)]
    assert view(encode([])) == []
    assert view(encode({})) == {}
