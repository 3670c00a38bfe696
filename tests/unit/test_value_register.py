"""Objects of registered classes come back equal; everything that would be lost on the way is refused."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import pickle
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pydantic
import pytest
import spellkeep
from spellkeep.errors import LimitExceeded, NotSerializable, SchemaMismatch
from spellkeep.value import Limits, Tagged, decode, encode, register


def roundtrip(value: Any) -> Any:
    return decode(encode(value))


def same(value: Any) -> Any:
    back = roundtrip({"a": [value]})["a"][0]
    assert type(back) is type(value)
    assert back == value
    return back


@register
@dataclasses.dataclass
class Step:
    name: str
    after: list[Any] = dataclasses.field(default_factory=list)
    cost: float = 1.5


@register
@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    step: Step
    pair: tuple[int, int] = (1, 2)


@register(tag="test.Model", version=3)
class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    parts: list[Part] = []
    size: int = 5
    _secret: str = pydantic.PrivateAttr("unset")


@register
class Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    value: float | None = None


Model.model_rebuild()


@register
class Struct(msgspec.Struct, frozen=True):
    name: str
    rows: list[int] = []
    other: int | msgspec.UnsetType = msgspec.UNSET


@register
@attrs.frozen(cache_hash=True)
class Attrs:
    name: str
    tags: tuple[str, ...] = ()


@register
@attrs.define
class AttrsOpen:
    base: int
    double: int = attrs.Factory(lambda self: self.base * 2, takes_self=True)
    _hidden: list[int] = attrs.Factory(list)


@register
class Pair(NamedTuple):
    left: Any
    right: Any = None


@register
class Color(enum.Enum):
    RED = "r"
    BLUE = (1, 2)
    ALIAS = "r"


@register
class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@register
class Word(enum.StrEnum):
    YES = "yes"


@register
class Mode(enum.Flag):
    READ = 1
    WRITE = 2


@register
class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


OBJECTS = [
    Step("a"),
    Step("b", [Step("c"), (1, {2})], -0.0),
    Frozen(Step("x"), (3, 4)),
    Model(name="m"),
    Model(name="m", parts=[Part(), Part(value=1.5)], size=5, extra_field=[1, (2,)]),
    Part(value=None),
    Struct("s", [1, 2]),
    Struct("s", other=5),
    Attrs("a", ("x",)),
    AttrsOpen(4),
    AttrsOpen(4, 5, [6]),
    Pair(1),
    Pair((1,), [Pair(2, 3)]),
    *(*Color, *Level, *Word, *Mode, *Bits, Mode.READ | Mode.WRITE, Mode(0), Bits.ONE | Bits.TWO, Bits(8)),
]


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


def refused(value: Any, error: type = NotSerializable) -> Any:
    with pytest.raises(error) as caught:
        encode({"at": [value]})
    assert caught.value.path == "$.at[0]"
    return caught.value


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


def test_registering_is_checked() -> None:
    class Plain:
        pass

    class Broken(dict):  # type: ignore[type-arg]
        pass

    with pytest.raises(TypeError, match="encode= and decode="):
        register(Plain)
    with pytest.raises(TypeError, match="needs decode="):
        register(Plain, encode=str)
    for native in (int, dict, Tagged):
        with pytest.raises(TypeError, match="natively"):
            register(native)
    with pytest.raises(TypeError):
        register(Plain())  # type: ignore[type-var]
    with pytest.raises(TypeError, match="content besides"):
        register(dataclasses.dataclass(Broken))
    for tag in ("", "x" * 257):
        with pytest.raises(ValueError, match="tag"):
            register(Plain, tag=tag, encode=str, decode=lambda payload, version: payload)
    for version in (-1, 2**32, True):
        with pytest.raises(ValueError, match="version"):
            register(Plain, version=version, encode=str, decode=lambda payload, version: payload)


def test_a_tag_belongs_to_one_class() -> None:
    @dataclasses.dataclass
    class Other:
        pass

    with pytest.raises(ValueError, match="belongs to"):
        register(Other, tag="Step")
    same(Step("a"))
    assert register(Step) is Step


def make_reloaded(default: int) -> Any:
    @register(tag="test.Reloaded")
    @dataclasses.dataclass
    class Reloaded:
        a: int = default

    return Reloaded


def test_a_reloaded_class_replaces_the_one_before() -> None:
    first, second = make_reloaded(1), make_reloaded(2)
    assert type(decode(encode(second()))) is second
    assert refused(first()).code == "value.unsupported_type"


def test_a_class_is_read_under_every_tag_that_it_had() -> None:
    @dataclasses.dataclass
    class Renamed:
        a: int

    register(Renamed, tag="test.old")
    data = encode(Renamed(1))
    register(Renamed, tag="test.new")
    assert decode(data) == Renamed(1)
    assert b"test.new" in encode(Renamed(1))


def test_stored_bytes_of_registered_classes_name_no_module_and_need_none() -> None:
    """Loading must not import or call what the data names (CVE-2025-64439 and its siblings)."""
    data = encode({"a": [Step("x", [Pair(1, 2)]), Color.RED]})
    assert b"test_value_register" not in data
    program = f"""
import sys
from spellkeep.value import Tagged, decode, encode
before = set(sys.modules)
value = decode({data!r})
assert set(sys.modules) == before
step, color = value["a"]
assert type(step) is Tagged and step.tag == "Step" and step.version == 1, step
inner = step.payload["after"][0]
assert type(inner) is Tagged and inner.payload == {{"left": 1, "right": 2}}
assert color == Tagged("Color", 1, "RED")
assert encode(value) == {data!r}
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_unknown_tags_are_inert_and_keep_their_bytes() -> None:
    value = {"a": Tagged("nobody", 7, {"x": (1, np.arange(300), Tagged("inner", 0, None))}), "b": [Tagged("n", 1, "")]}
    data = encode(value)
    back = decode(data)
    assert encode(back) == data
    assert encode(back["b"][0]) == encode(Tagged("n", 1, ""))
    # Its place in another value does not change what it holds, even where that moves its arrays off their alignment.
    for padding in range(16):
        moved = decode(encode(["x" * padding, back["a"]]))[1]
        assert moved == back["a"]
        assert (moved.payload["x"][1] == np.arange(300)).all()


def test_tagged_is_a_value() -> None:
    tagged = Tagged("t", 1, {"a": [1]})
    assert (tagged.tag, tagged.version, tagged.payload) == ("t", 1, {"a": [1]})
    assert tagged.payload is not tagged.payload
    assert tagged == Tagged("t", 1, {"a": [1]}) and hash(tagged) == hash(Tagged("t", 1, {"a": [1]}))
    assert tagged != Tagged("t", 2, {"a": [1]}) and tagged != Tagged("u", 1, {"a": [1]})
    assert tagged != Tagged("t", 1, {"a": [2]}) and tagged != "t"
    assert repr(tagged) == "Tagged(\"t\", 1, {'a': [1]})"
    assert pickle.loads(pickle.dumps(tagged)) == copy.deepcopy(tagged) == tagged
    # Also when a class in the payload could not be rebuilt here.
    inert = Tagged("t", 1, [Tagged("Color", 1, "GREEN")])
    assert pickle.loads(pickle.dumps(inert)) == copy.deepcopy(inert) == inert
    with pytest.raises(AttributeError):
        tagged.tag = "u"  # type: ignore[misc]
    with pytest.raises(NotSerializable) as caught:
        Tagged("t", 1, [object()])
    assert caught.value.path == "$[0]"
    for tag in ("", "x" * 257):
        with pytest.raises(NotSerializable) as caught:
            Tagged(tag, 1, None)
        assert caught.value.code == "value.tag"
    assert roundtrip({Tagged("k", 1, 1): Tagged("v", 1, 1)}) == {Tagged("k", 1, 1): Tagged("v", 1, 1)}


def test_the_payload_of_a_tagged_counts_against_every_limit() -> None:
    tagged = Tagged("t", 1, {"k": ["x" * 50, [1]]})
    exact = {"depth_max": 4, "items_max": 4, "string_bytes_max": 50}
    assert encode(tagged, limits=Limits(**exact))
    for name, code in (("depth_max", "depth"), ("items_max", "items"), ("string_bytes_max", "string_bytes")):
        with pytest.raises(LimitExceeded) as caught:
            encode({"a": [tagged]}, limits=Limits(**{**exact, "depth_max": 6, "items_max": 6, name: exact[name] - 1}))
        assert (caught.value.code, caught.value.path) == (f"value.{code}", "$.a[0]")


def test_a_tagged_of_a_registered_tag_comes_back_as_the_object() -> None:
    assert decode(encode(Tagged("Step", 1, {"name": "a"}))) == Step("a")


def test_a_repr_never_fails_for_a_payload_that_cannot_be_rebuilt() -> None:
    tagged = Tagged("unknown", 1, [Tagged("Color", 1, "GREEN")])
    assert repr(tagged) == 'Tagged("unknown", 1, <20 bytes>)'


def test_registering_from_many_threads_keeps_every_class() -> None:
    classes = [dataclasses.make_dataclass(f"Threaded{index}", ["a"]) for index in range(64)]
    threads = [
        threading.Thread(target=lambda part=part: [register(cls) for cls in part])
        for part in (classes[::2], classes[1::2])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for cls in classes:
        same(cls(1))


def test_the_names_are_on_the_front_page() -> None:
    assert spellkeep.register is register and spellkeep.Tagged is Tagged and spellkeep.Limits is Limits
