"""`copies`: objects made of dicts, lists and sets are copied whole or not at all."""

from __future__ import annotations

import sys
from typing import Any

import pydantic
import pytest

from spellkeep.value import Pictures, changed, copies


class Note(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    text: str = "text"
    parts: Any = None


FIELDS = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
PARTS = tuple(pydantic.BaseModel.__dict__[name] for name in FIELDS)
with_a_gil = pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="none are made without one")


def containers(value: Any) -> list[Any]:
    """All that could change, from the outside in."""
    if isinstance(value, Note):
        return [value, *(each for name in FIELDS for each in containers(getattr(value, name)))]
    if isinstance(value, dict):
        return [value, *(each for part in value.values() for each in containers(part))]
    if isinstance(value, list):
        return [value, *(each for part in value for each in containers(part))]
    return [value] if isinstance(value, set) else []


@with_a_gil
def test_a_copy_shares_nothing_that_could_change() -> None:
    inner = {"z": 1, "a": [2, {"deep": [{}, []]}], "n": None, "f": -0.0, "b": True, "y": b"raw"}
    notes = [Note(), Note(text="x", parts=[inner, {}, [], {1, "a"}]), Note(parts=inner, more={"k": {"l": {"m": []}}})]
    made = copies(notes, PARTS)
    assert changed(notes, made, parts=PARTS[:2]) == []
    for note, copy in zip(notes, made, strict=True):
        assert type(copy) is Note
        assert [getattr(copy, name) for name in FIELDS] == [getattr(note, name) for name in FIELDS]
        assert list(copy.__dict__) == list(note.__dict__)
        shared = {id(each) for each in containers(note)} & {id(each) for each in containers(copy)}
        assert not shared
    assert len(containers(notes[2])) == 14
    assert copies([], PARTS) == []


@pytest.mark.parametrize(
    "part", [(1, []), object(), Note(), {(1,): 2}, [(1,)], {"a": {"b": ()}}, {(1, 2)}, bytearray(b"a"), 1j]
)
def test_of_what_is_made_of_something_else_there_is_no_copy(part: Any) -> None:
    assert copies([Note(parts=part)], PARTS) == [None]


def test_a_cycle_and_what_is_too_deep_have_no_copy() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert copies([Note(parts=cycle), Note(parts=deep)], PARTS) == [None, None]


def test_an_object_without_the_parts_has_no_copy() -> None:
    assert copies([object(), 1, "text"], PARTS) == [None] * 3


def test_a_part_that_interrupts_is_not_hidden() -> None:
    class Interrupting:
        def __get__(self, note: Any, kind: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copies([Note()], (Interrupting(),))


@with_a_gil
@pytest.mark.parametrize(("count", "copied"), [(9_996, True), (9_997, False)])
def test_an_object_of_ten_thousand_parts_is_copied_and_one_of_more_is_not(count: int, copied: bool) -> None:
    # Beside the list there are two dicts of fields and the set of those that are set.
    (made,) = copies([Note(parts=[[] for _ in range(count)])], PARTS)
    assert (made is not None) == copied


def test_what_stands_in_many_places_is_not_copied_for_each() -> None:
    shared: list[Any] = []
    for _ in range(50):
        shared = [shared, shared]
    assert copies([Note(parts=shared)], PARTS) == [None]


def test_a_class_that_makes_no_new_objects_of_its_own_has_no_copies() -> None:
    class Single:
        there: Any = None

        def __new__(cls) -> Any:
            return cls.there or super().__new__(cls)

    class Other:
        def __new__(cls) -> Any:
            return Note.__new__(Note)

    Single.there = single = Single()
    single.text = "kept"  # type: ignore[attr-defined]
    other = object.__new__(Other)
    assert copies([single], (Single.__dict__["__dict__"],)) == [None]
    assert copies([other], (Other.__dict__["__dict__"],)) == [None]
    assert single.__dict__ == {"text": "kept"}


def test_no_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="these are none"):
        copies([Note()], ())


def test_an_object_that_lost_a_part_since_it_was_pictured_differs() -> None:
    notes, pictures = [Note(), Note()], Pictures()
    same = copies(notes, PARTS)
    for _ in range(2):
        assert changed(notes, same, parts=PARTS, pictures=pictures) == []
    del notes[0].__pydantic_private__
    assert changed(notes, same, parts=PARTS, pictures=pictures) == [0]
