"""`difference`: what one dict has that another one has not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellkeep.value import difference

values = st.one_of(st.integers(0, 2), st.booleans(), st.sampled_from([0.0, 1.0]), st.text("ab", max_size=2), st.none())
parts = st.one_of(values, st.lists(values, max_size=2), st.dictionaries(st.text("ab", max_size=1), values, max_size=2))
keys = st.one_of(st.text("abc", max_size=2), st.integers(0, 3))
dicts = st.dictionaries(keys, parts, max_size=6)


@given(old=dicts, new=dicts, names=st.dictionaries(keys, st.integers(10, 20)), gives=st.booleans(), says=st.booleans())
def test_it_is_what_a_loop_says(
    old: dict[Any, Any], new: dict[Any, Any], names: dict[Any, int], gives: bool, says: bool
) -> None:
    def name(key: Any) -> Any:
        return ("given", key)

    expected = {}
    for key, value in new.items():
        if not (key in old and type(old[key]) is type(value) and old[key] == value):
            expected[names[key] if key in names else name(key) if gives else key] = value
    gone = [names[key] if key in names else name(key) if gives else key for key in old if key not in new]
    if says and gone:
        expected["gone"] = gone
    found = difference(old, new, names, name if gives else None, "gone" if says else None)
    assert list(found.items()) == list(expected.items())
    assert [type(value) for value in found.values()] == [type(value) for value in expected.values()]


def test_the_values_are_the_very_objects_and_one_object_is_the_same_as_itself() -> None:
    nan, new = float("nan"), [1]
    found = difference({"a": nan, "b": [1]}, {"a": nan, "b": new, "c": new})
    assert list(found) == ["c"] and found["c"] is new


class Clearing:
    """Comparing it empties a dict."""

    def __init__(self, dict_: dict[Any, Any]) -> None:
        self._dict = dict_

    def __eq__(self, other: object) -> bool:
        self._dict.clear()
        return True

    __hash__ = None  # type: ignore[assignment]


def test_a_dict_that_changes_meanwhile_is_an_error_and_no_crash() -> None:
    new: dict[Any, Any] = {}
    new.update({number: Clearing(new) for number in range(100)})
    with pytest.raises(RuntimeError, match="a dict changed"):
        difference({number: Clearing(new) for number in range(100)}, new)
    old: dict[Any, Any] = {}
    old.update({number: Clearing(old) for number in range(100)})
    # What is gone from the old one meanwhile is different.
    assert len(difference(old, {number: Clearing(old) for number in range(100)})) == 99


def test_what_comparing_and_naming_raise_comes_through() -> None:
    class Angry:
        def __eq__(self, other: object) -> bool:
            raise KeyError("angry")

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(KeyError, match="angry"):
        difference({1: Angry()}, {1: Angry()})
    with pytest.raises(ZeroDivisionError):
        difference({}, {1: 1}, {}, lambda key: key / 0)
    with pytest.raises(TypeError):
        difference([], {})  # type: ignore[arg-type]
