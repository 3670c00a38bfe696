"""Classes of every kind that can be registered, registered once, and helpers of the tests of values."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from spellkeep.errors import Corrupted, NotSerializable
from spellkeep.value import decode, encode, register


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


def refused(value: Any, error: type = NotSerializable) -> Any:
    with pytest.raises(error) as caught:
        encode({"at": [value]})
    assert caught.value.path == "$.at[0]"
    return caught.value


def corrupted(data: bytes) -> Corrupted:
    with pytest.raises(Corrupted) as caught:
        decode(data)
    return caught.value


HEAD = b"\xc1\x01"


def conversation(count: int = 300) -> dict[str, Any]:
    """A dict of 20 fields, one of them long."""
    messages = [{"id": number, "role": "user", "content": f"message {number} " * 5} for number in range(count)]
    return {f"field{number}": number for number in range(18)} | {"messages": messages, "meta": {"model": "large"}}


def without_footer(data: bytes) -> bytes:
    """As the first version of the format had it."""
    if data[1] == 1:
        return data
    return data[:1] + b"\x01" + data[2 : len(data) - int.from_bytes(data[-4:], "little") - 6]
