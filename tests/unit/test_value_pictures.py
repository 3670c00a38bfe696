"""`changed` with pictures: what it finds with them is what it finds without, whatever was touched in between."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from spellkeep.value import Pictures, changed


class Note(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    text: str = "text"
    empty: dict[str, Any] = {}
    filled: dict[str, Any] = {}
    items: list[Any] = []
    number: float | None = None


class Other(Note):
    pass


PARTS = (pydantic.BaseModel.__dict__["__dict__"], pydantic.BaseModel.__dict__["__pydantic_extra__"])


def note() -> Note:
    return Note(text="a", filled={"deep": {"deeper": {"x": 1}}, "flag": True})


CHANGES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda note: None,
    "a text": lambda note: setattr(note, "text", "b"),
    "the same text": lambda note: setattr(note, "text", "".join(["a"])),
    "there and back": lambda note: (setattr(note, "text", "b"), setattr(note, "text", "a")),
    "a type": lambda note: setattr(note, "number", 1.0),
    "a field less": lambda note: note.__dict__.pop("number"),
    "an order": lambda note: note.__dict__.update(text=note.__dict__.pop("text")),
    "an empty dict": lambda note: note.empty.update(a=1),
    "an empty dict anew": lambda note: setattr(note, "empty", {}),
    "an empty list": lambda note: note.items.append(1),
    "an empty list anew": lambda note: setattr(note, "items", []),
    "an empty list as a dict": lambda note: setattr(note, "items", {}),
    "a filled dict": lambda note: note.filled.update(flag=1),
    "deep inside": lambda note: note.filled["deep"]["deeper"].update(x=1.0),
    "deep inside, removed": lambda note: note.filled["deep"].clear(),
    "deep inside, anew": lambda note: note.filled["deep"].update(deeper={"x": 1}),
    "an extra": lambda note: setattr(note, "more", 1),
    "the fields": lambda note: setattr(note, "__dict__", {**note.__dict__, "text": "c"}),
    "the same fields anew": lambda note: setattr(note, "__dict__", dict(note.__dict__)),
    "the class": lambda note: setattr(note, "__class__", Other),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("sole", [False, True])
@pytest.mark.parametrize("looks", [0, 1, 3])
def test_pictures_hide_no_change(change: Callable[[Any], Any], sole: bool, looks: int) -> None:
    items, copies, pictures = [note() for _ in range(5)], [note() for _ in range(5)], Pictures()
    for _ in range(looks):
        assert changed(items, copies, parts=PARTS, pictures=pictures, sole=sole) == []
    change(items[3])
    expected = changed(items, copies, parts=PARTS, sole=sole)
    for _ in range(2):
        assert changed(items, copies, parts=PARTS, pictures=pictures, sole=sole) == expected
    items[3] = note()
    assert changed(items, copies, parts=PARTS, pictures=pictures, sole=sole) == []


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "the object": lambda note: note,
    "its fields": lambda note: note.__dict__,
    "its extra": lambda note: note.__pydantic_extra__,
    "an empty dict": lambda note: note.empty,
    "an empty list": lambda note: note.items,
    "deep inside": lambda note: note.filled["deep"]["deeper"],
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS.keys())
def test_what_somebody_else_has_differs_with_pictures_too(holder: Callable[[Any], Any]) -> None:
    items, copies, pictures = [note(), note()], [note(), note()], Pictures()
    expected = changed(items, copies, parts=PARTS, sole=True)
    assert changed(items, copies, parts=PARTS, pictures=pictures, sole=True) == expected
    held = holder(items[1])
    assert changed(items, copies, parts=PARTS, pictures=pictures) == []
    assert changed(items, copies, parts=PARTS, pictures=pictures, sole=True) == [1]
    del held
    assert changed(items, copies, parts=PARTS, pictures=pictures, sole=True) == []


def test_a_list_in_an_object_is_looked_into_each_time() -> None:
    items, copies, pictures = [Note(items=[{"a": 1}])], [Note(items=[{"a": 1}])], Pictures()
    for found in ([], []):
        assert changed(items, copies, parts=PARTS, pictures=pictures) == found
    items[0].items[0]["a"] = 2
    assert changed(items, copies, parts=PARTS, pictures=pictures) == [0]


def test_other_copies_parts_and_lengths_are_compared() -> None:
    items, copies, pictures = [note(), note()], [note(), note()], Pictures()
    assert changed(items, copies, parts=PARTS, pictures=pictures) == []
    assert changed(items, [note(), Note(text="b")], parts=PARTS, pictures=pictures) == [1]
    assert changed(items, copies, parts=PARTS, pictures=pictures) == []
    items[0].more = 1  # type: ignore[attr-defined]
    assert changed(items, copies, parts=PARTS[:1], pictures=pictures) == []
    assert changed(items, copies, parts=PARTS, pictures=pictures) == [0]
    assert changed(items[1:], copies, parts=PARTS * 2, pictures=pictures) == []
    assert changed([*items, 1], [*copies, 1], parts=PARTS, pictures=pictures) == [0]
    assert changed([], [], pictures=pictures) == []


def test_a_descriptor_that_changes_things_meanwhile_is_no_danger() -> None:
    class Meddling:
        armed = False

        def __get__(self, note: Any, kind: Any) -> Any:
            if self.armed:
                note.filled.clear()
                note.empty = note.items = None
                gc.collect()
            return note.__pydantic_extra__

    meddling = Meddling()
    parts = (PARTS[0], meddling)
    items, copies, pictures = [note()], [note()], Pictures()
    assert changed(items, copies, parts=parts, pictures=pictures) == []
    meddling.armed = True
    assert changed(items, copies, parts=parts, pictures=pictures) == [0]


def test_pictures_keep_no_item_alive_and_are_collected() -> None:
    items, copies, pictures = [note()], [note()], Pictures()
    assert changed(items, copies, parts=PARTS, pictures=pictures) == []
    item, copy = weakref.ref(items[0]), weakref.ref(copies[0])
    items.clear()
    assert item() is None
    copies[0].filled["cycle"] = pictures
    del copies, pictures
    gc.collect()
    assert copy() is None
