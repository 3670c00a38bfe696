"""Objects of registered classes come back equal; everything that would be lost on the way is refused."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Any

import pydantic
import pytest

from spellkeep.errors import LimitExceeded, NotSerializable, SchemaMismatch
from spellkeep.value import Limits, Tagged, decode, encode, register, registered_meanwhile
from value_samples import (
    OBJECTS,
    Attrs,
    AttrsOpen,
    Color,
    Frozen,
    Level,
    Model,
    Pair,
    Part,
    Step,
    Struct,
    Word,
    refused,
    roundtrip,
    same,
)


@pytest.mark.parametrize("value", OBJECTS, ids=repr)
def test_objects_come_back_equal(value: Any) -> None:
    same(value)


def test_enum_members_are_the_members() -> None:
    assert roundtrip([Color.RED, Level.HIGH, Word.YES]) == [Color.RED, Level.HIGH, Word.YES]
    assert roundtrip(Color.ALIAS) is Color.RED
    assert roundtrip({Color.RED: 1, Level.LOW: 2, Word.YES: 3}) == {Color.RED: 1, Level.LOW: 2, Word.YES: 3}


def test_objects_can_be_keys_and_set_items() -> None:
    value = {Attrs("a"), Frozen.__name__, Part(value=2), Struct.__name__, Pair(1, 2)}
    assert roundtrip(value) == value
    assert hash(roundtrip(Attrs("a"))) == hash(Attrs("a"))


def test_pydantic_models_keep_which_fields_were_set_and_their_extras() -> None:
    model = Model(name="m", other=(1, 2))
    back = same(model)
    assert back.model_fields_set == model.model_fields_set == {"name", "other"}
    assert back.model_extra == {"other": (1, 2)}
    assert same(Model(name="m", size=5)).model_fields_set == {"name", "size"}


def test_private_attributes_of_pydantic_models_come_back_with_their_defaults() -> None:
    model = Model(name="m")
    model._secret = "changed"
    assert roundtrip(model)._secret == "unset"


def test_pydantic_validators_do_not_run_again() -> None:
    class Grown(pydantic.BaseModel):
        count: int

        @pydantic.field_validator("count")
        @classmethod
        def grow(cls, value: int) -> int:
            return value + 1

    register(Grown)
    assert same(Grown(count=1)).count == 2


def test_generic_models_and_root_models_are_classes_of_their_own() -> None:
    class Names(pydantic.RootModel[list[str]]):
        pass

    register(Names)
    same(Names(["a"]))


def test_init_and_post_init_do_not_run_again() -> None:
    @register
    @dataclasses.dataclass
    class Counted:
        count: int
        doubled: int = dataclasses.field(init=False)
        seed: dataclasses.InitVar[int] = 1

        def __post_init__(self, seed: int) -> None:
            self.count += seed
            self.doubled = self.count * 2

    same(Counted(1))


def test_cached_properties_are_not_part_of_an_object() -> None:
    @register
    @dataclasses.dataclass
    class Lazy:
        base: int

        @functools.cached_property
        def square(self) -> int:
            return self.base**2

    lazy = Lazy(3)
    assert lazy.square == 9
    assert same(lazy).square == 9


def test_a_field_that_was_never_set_stays_unset() -> None:
    @register
    @dataclasses.dataclass(slots=True)
    class Partial:
        a: int
        b: int = dataclasses.field(init=False)

    assert not hasattr(roundtrip(Partial(1)), "b")


def test_an_attribute_that_is_no_field_is_refused_rather_than_lost() -> None:
    step = Step("a")
    step.note = "lost?"  # type: ignore[attr-defined]
    error = refused(step)
    assert error.code == "value.extra_attribute" and "'note'" in error.detail

    class Slotted:
        __slots__ = ("aside",)

    @register
    @dataclasses.dataclass
    class Child(Slotted):
        a: int

    child = Child(1)
    same(child)
    child.aside = 2
    assert refused(child).code == "value.extra_attribute"

    class Named(Pair):
        pass

    register(Named)
    named = Named(1, 2)
    same(named)
    named.extra = 3
    assert refused(named).code == "value.extra_attribute"


def test_a_subclass_of_a_registered_class_must_be_registered_itself() -> None:
    class Child(Step):
        pass

    assert refused(Child("a")).code == "value.unsupported_type"


def test_the_path_goes_through_fields() -> None:
    with pytest.raises(NotSerializable) as caught:
        encode([Frozen(Step("a", [1, {"k": object()}]))])
    assert caught.value.path == "$[0].step.after[1].k"


def test_an_object_counts_one_level_and_its_fields_another() -> None:
    assert encode(Pair(1), limits=Limits(depth_max=2))
    with pytest.raises(LimitExceeded):
        encode(Pair(1), limits=Limits(depth_max=1))


def test_missing_fields_get_their_defaults_and_required_ones_are_an_error() -> None:
    assert decode(encode(Tagged("Step", 1, {"name": "a"}))) == Step("a")
    assert decode(encode(Tagged("Step", 1, {"name": "a"}))).after is not Step("a").after
    assert decode(encode(Tagged("Struct", 1, {"name": "a"}))) == Struct("a")
    assert decode(encode(Tagged("AttrsOpen", 1, {"base": 3}))) == AttrsOpen(3)
    assert decode(encode(Tagged("Pair", 1, {"left": 3}))) == Pair(3)
    old = Tagged("test.Model", 2, {"fields": {"name": "m"}, "set": ["name"], "extra": {}})
    assert decode(encode(old)) == Model(name="m")
    for tagged in (
        Tagged("Step", 1, {"cost": 1.0}),
        Tagged("Struct", 1, {}),
        Tagged("AttrsOpen", 1, {}),
        Tagged("Pair", 1, {}),
        Tagged("test.Model", 3, {"fields": {}, "set": [], "extra": None}),
    ):
        assert mismatch(tagged).code == "value.missing_field"


def mismatch(value: Any) -> SchemaMismatch:
    with pytest.raises(SchemaMismatch) as caught:
        decode(encode({"at": [value]}))
    assert caught.value.path == "$.at[0]"
    return caught.value


@pytest.mark.parametrize(
    ("tagged", "code"),
    [
        (Tagged("Step", 1, {"name": "a", "new": 1}), "value.unknown_field"),
        (Tagged("Struct", 1, {"name": "a", "new": 1}), "value.unknown_field"),
        (Tagged("Step", 2, {"name": "a"}), "value.newer_version"),
        (Tagged("Step", 1, ["a"]), "value.payload"),
        (Tagged("test.Model", 1, {"name": "a"}), "value.payload"),
        (Tagged("Color", 1, "GREEN"), "value.unknown_member"),
        (Tagged("Color", 1, {"x": 1}), "value.unknown_member"),
        (Tagged("Mode", 1, 64), "value.unknown_member"),
        (Tagged("Level", 1, "__class__"), "value.unknown_member"),
    ],
)
def test_stored_objects_that_do_not_fit_the_class_say_how(tagged: Tagged, code: str) -> None:
    assert mismatch(tagged).code == code


def test_an_older_version_goes_to_the_registered_decode() -> None:
    @dataclasses.dataclass
    class Plan:
        steps: list[str]

    def upgrade(payload: Any, version: int) -> Plan:
        return Plan(**payload) if version == 2 else Plan([payload["step"]])

    register(Plan, tag="Plan.v", version=2, decode=upgrade)
    assert decode(encode(Tagged("Plan.v", 1, {"step": "a"}))) == Plan(["a"])
    same(Plan(["a", "b"]))


def test_any_class_can_be_kept_with_functions_of_its_own() -> None:
    class Ordered(collections.OrderedDict):  # type: ignore[type-arg]
        pass

    register(Ordered, encode=lambda obj: list(obj.items()), decode=lambda payload, version: Ordered(payload))
    same(Ordered(a=1, b=(2,)))
    register(collections.OrderedDict, encode=dict, decode=lambda payload, version: collections.OrderedDict(payload))
    same(collections.OrderedDict(a=1))


@dataclasses.dataclass
class Visitor:
    name: str


def test_a_class_is_registered_while_a_block_runs_and_as_long_as_another_block_does() -> None:
    tags: dict[type, str] = {Visitor: "test:visitor"}
    with registered_meanwhile(tags):
        with registered_meanwhile(tags):
            blob = encode(Visitor("a"))
        assert decode(blob) == Visitor("a")
    assert decode(blob) == Tagged("test:visitor", 1, {"name": "a"})
    with pytest.raises(NotSerializable):
        encode(Visitor("a"))
    with pytest.raises(KeyError), registered_meanwhile(tags):
        raise KeyError
    with pytest.raises(NotSerializable):
        encode(Visitor("a"))
    with pytest.raises(TypeError), registered_meanwhile({**tags, object: "test:object"}):
        pass
    with pytest.raises(NotSerializable):
        encode(Visitor("a"))
    with registered_meanwhile(tags):
        register(Visitor, tag="test:visitor")
    assert decode(encode(Visitor("b"))) == Visitor("b")
    with registered_meanwhile({Visitor: "test:other"}):
        assert encode(Visitor("a")) == blob
    assert decode(blob) == Visitor("a")
