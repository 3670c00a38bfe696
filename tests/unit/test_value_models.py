"""`ModelFields` and `Substitution`: what of a model is kept, and texts that are replaced in it."""

from __future__ import annotations

import uuid
from typing import Any

import pydantic
import pytest

from spellkeep.value import ModelFields, Substitution

PARTS = tuple(
    pydantic.BaseModel.__dict__[name]
    for name in ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")
)
ID = str(uuid.UUID(int=7))


class Note(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    id: str | None = None
    text: Any = ""
    parts: list[Any] = []


fields = ModelFields(
    {"id": None, "text": "", "parts": []},
    {"text": 0, "id": 1},
    ("id", "text", "parts"),
    uuid="id",
    was_set=-1,
    extra=-2,
)
replaced = Substitution(frozenset({Note}), PARTS, field="text", len_min=3, items_max=4)


def test_fields_that_are_as_usual_are_not_kept() -> None:
    assert fields(Note()) == {}
    assert fields(Note(text="hello")) == {0: "hello"}
    assert list(fields(Note(parts=[1], text="hello")).items()) == [(0, "hello"), ("parts", [1])]
    # Equal, and of another class.
    assert fields(Note(text=b"")) == {0: b""}


def test_an_id_is_its_bytes_if_it_is_a_uuid() -> None:
    assert fields(Note(id=ID)) == {1: bytes(15) + b"\x07"}
    assert fields(Note(id="run-" + ID)) == {1: "run-" + ID}
    assert fields(Note(text=ID)) == {0: ID}


def test_which_fields_were_set_is_kept_where_it_is_not_those_that_are_kept() -> None:
    assert fields(Note(text="")) == {-1: 0b010}
    assert fields(Note(parts=[], id="a")) == {1: "a", -1: 0b101}
    note = Note()
    note.__dict__["text"] = "put there"
    assert fields(note) == {0: "put there", -1: 0}


def test_what_stands_beside_the_fields_is_kept() -> None:
    assert fields(Note(mood="calm")) == {-2: {"mood": "calm"}}  # type: ignore[call-arg]


def test_a_model_of_more_fields_than_bits_is_refused() -> None:
    names = [f"field {at}" for at in range(65)]
    with pytest.raises(ValueError, match="at most 64 names"):
        ModelFields({}, {}, names, uuid="id", was_set=-1, extra=-2)
    ModelFields({}, {}, names[:64], uuid="id", was_set=-1, extra=-2)


def test_long_texts_are_replaced_as_deep_as_is_said() -> None:
    value = {"a": ["long", ("long", "no")], "long": "long"}
    assert replaced(value, 3, len) == {"a": [4, (4, "no")], "long": 4}
    assert replaced(value, 2, len) == {"a": [4, ("long", "no")], "long": 4}
    assert replaced(value, 0, len) is value
    assert replaced("long", 0, lambda text: None) == "long"
    assert replaced(["long"] * 5, 3, len) == ["long"] * 5
    assert replaced({1, 2}, 3, len) == {1, 2}


def test_in_an_object_one_field_is_replaced_and_the_others_are_shared() -> None:
    note = Note(text="long", parts=["long"], mood="calm")  # type: ignore[call-arg]
    [shown] = replaced([note], 1, len)
    assert type(shown) is Note and shown is not note
    assert (shown.text, note.text) == (4, "long")
    assert shown.parts is note.parts and shown.__pydantic_extra__ is note.__pydantic_extra__
    short = Note(text="no")
    assert replaced(short, 0, len) is short


def test_what_a_function_raises_is_raised_and_a_dict_that_changes_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        replaced(["long"], 1, lambda text: 1 // 0)
    value = dict.fromkeys(range(3), "long")
    with pytest.raises(RuntimeError, match="a dict changed"):
        replaced(value, 1, lambda text: value.clear())


def test_what_contains_itself_is_walked_as_deep_as_the_stack_allows() -> None:
    note = Note()
    note.text = note
    seen = replaced(note, 0, len)
    assert seen is note
    nested: list[Any] = []
    nested.append(nested)
    nested.append("long")
    levels = 0
    shown = replaced(nested, 2**32 - 1, len)
    while shown[0] is not nested:
        assert shown[1] == 4
        shown, levels = shown[0], levels + 1
    assert levels == 63


def test_which_fields_were_set_may_be_any_set_and_may_change_meanwhile() -> None:
    assert fields(Note.model_construct(_fields_set=frozenset({"text"}), text="hello")) == {0: "hello"}  # type: ignore[arg-type]
    note = Note()

    class Adding(str):
        def __hash__(self) -> int:
            names.add(f"more {len(names)}")
            return hash(str(self))

        __eq__ = str.__eq__

    names: set[str] = set()
    names.add(Adding("text"))
    object.__setattr__(note, "__pydantic_fields_set__", names)
    with pytest.raises(RuntimeError, match="changed size"):
        fields(note)


def test_an_object_of_other_parts_is_refused() -> None:
    with pytest.raises(TypeError, match="not made of these parts"):
        replaced.with_field(3, "text")
