"""What cannot be kept is refused with class, code and place; damaged bytes are refused and harmless."""

from __future__ import annotations

import collections
import dataclasses
import enum
import gc
import pathlib
import sys
import threading
from typing import Any

import numpy as np
import pytest

import spellkeep.value as value_module
from spellkeep.errors import LimitExceeded, NotSerializable
from spellkeep.value import Limits, Tagged, decode, encode, register


@pytest.fixture(autouse=True)
def _unregistered(monkeypatch: pytest.MonkeyPatch) -> None:
    # An adapter registers some for the whole process, and its tests may have run in this one.
    for cls in (collections.deque, type(pathlib.Path())):
        monkeypatch.delitem(value_module._by_class, cls, raising=False)


def function() -> None: ...


class Color(enum.IntEnum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


class Text(str):
    pass


class Number(int):
    pass


def refused(value: Any, **limits: int) -> Any:
    with pytest.raises((NotSerializable, LimitExceeded)) as caught:
        encode(value, limits=Limits(**limits))
    return caught.value


UNSUPPORTED = [
    (function, "$", "a function"),
    ({"messages": [0, 1, 2, {"tool": function}]}, "$.messages[3].tool", "a function"),
    ({"a b": [{"": object()}]}, '$["a b"][0][""]', "an object"),
    ({'q"\n': object()}, '$["q\\"\\n"]', "an object"),
    ({5: object()}, "$[5]", "an object"),
    ({(1, 2): object()}, "$[<tuple>]", "an object"),
    ({None: object()}, "$[None]", "an object"),
    ({(1, (2, function)): 1}, "$<key tuple>[1][1]", "a function"),
    ({"t": (1, function)}, "$.t[1]", "a function"),
    ({"s": {function}}, "$.s<item function>", "a function"),
    ({"s": {(1, function)}}, "$.s<item tuple>[1]", "a function"),
    ([collections.OrderedDict(a=1)], "$[0]", "collections.OrderedDict"),
    ([collections.defaultdict(int)], "$[0]", "collections.defaultdict"),
    ([collections.deque([1])], "$[0]", "collections.deque"),
    ([collections.Counter("a")], "$[0]", "collections.Counter"),
    ({"e": Color.RED}, "$.e", "Color"),
    ([Point(1, 2)], "$[0]", "Point"),
    ([Text("a")], "$[0]", "Text"),
    ({Text("a"): 1}, "$<key test_value_errors.Text>", "Text"),
    ([Number(1)], "$[0]", "Number"),
    ([memoryview(b"a")], "$[0]", "a memoryview"),
    ([range(3)], "$[0]", "a range"),
    ([pathlib.Path("/")], "$[0]", "Path"),
    ([np.array([object()])], "$[0]", "dtype object"),
    ([np.zeros(2, dtype="i4,f8")], "$[0]", "dtype"),
    ([np.zeros(2, dtype="g")], "$[0]", "dtype float128"),
    ([np.ma.array([1])], "$[0]", "MaskedArray"),
    ([np.longdouble(1)], "$[0]", "float128"),
    ([sys], "$[0]", "a module"),
    ([int], "$[0]", "a type"),
    ([...], "$[0]", "an ellipsis"),
]


@pytest.mark.parametrize(("value", "path", "word"), UNSUPPORTED, ids=[str(row[1]) + str(row[2]) for row in UNSUPPORTED])
def test_what_has_no_encoding_is_refused_at_its_place(value: Any, path: str, word: str) -> None:
    error = refused(value)
    assert isinstance(error, NotSerializable) and isinstance(error, TypeError)
    assert error.code == "value.unsupported_type"
    assert error.path.replace("tests.unit.", "") == path
    assert word in error.detail and error.detail.startswith("cannot keep ")


def test_the_sentence_says_what_where_and_what_to_do() -> None:
    assert refused({"messages": [0, 1, 2, {"tool": function}]}).detail == (
        "cannot keep a function at $.messages[3].tool: register its class with spellkeep.register, or convert it first"
    )
    assert "dict(...)" in refused(collections.OrderedDict()).detail
    assert "list(...)" in refused(collections.deque()).detail
    assert "bytes(...)" in refused(memoryview(b"")).detail
    assert "register the enum" in refused(Color.RED).detail
    assert "str(...)" in refused(pathlib.Path("/")).detail


def test_foreign_time_zones_are_refused() -> None:
    import datetime as dt

    class Zone(dt.tzinfo):
        pass

    error = refused({"at": dt.datetime(2024, 1, 1, tzinfo=Zone())})
    assert error.path == "$.at" and "zoneinfo" in error.detail


def nest(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def test_depth_is_limited_exactly() -> None:
    assert decode(encode(nest(128))) == nest(128)
    error = refused(nest(129))
    assert isinstance(error, LimitExceeded) and isinstance(error, ValueError)
    assert (error.code, error.path) == ("value.depth", "$" + "[0]" * 128)
    assert encode(1, limits=Limits(depth_max=0))
    assert refused([], depth_max=0).code == "value.depth"
    for wrap in (lambda inner: (inner,), lambda inner: {"a": inner}, lambda inner: frozenset({inner})):
        if wrap(1) == {"a": 1}:
            assert encode({"a": {"a": 1}}, limits=Limits(depth_max=2))
            assert refused({"a": {"a": {}}}, depth_max=2).path == "$.a.a"
        else:
            assert encode(wrap(wrap(1)), limits=Limits(depth_max=2))
            assert refused(wrap(wrap(wrap(1))), depth_max=2).code == "value.depth"


def test_items_are_limited_exactly() -> None:
    value = {"a": [1, 2, (3,)], "b": {4}}
    assert encode(value, limits=Limits(items_max=7))
    error = refused(value, items_max=6)
    assert (error.code, error.path) == ("value.items", "$.b")


def test_shared_references_cannot_grow_without_limit() -> None:
    value: Any = "x" * 1000
    for _ in range(100):
        value = [value] * 10
    assert refused(value).code in {"value.items", "value.total_bytes"}


@pytest.mark.parametrize(
    "make", [lambda n: "x" * n, lambda n: "é" * (n // 2), bytes, bytearray, lambda n: "\ud800" * (n // 3)]
)
def test_strings_are_limited_exactly(make: Any) -> None:
    assert encode({"a": make(300)}, limits=Limits(string_bytes_max=300))
    error = refused({"a": make(306)}, string_bytes_max=305)
    assert (error.code, error.path) == ("value.string_bytes", "$.a")


def test_big_integers_are_limited_like_strings() -> None:
    assert encode(2**799 - 1, limits=Limits(string_bytes_max=100))
    assert refused(2**800, string_bytes_max=100).code == "value.string_bytes"


def test_a_key_that_is_too_long_is_named() -> None:
    assert refused({"abcd": 1}, string_bytes_max=3).path == '$<key "abcd">'


@pytest.mark.parametrize(
    "value", ["x" * 500, b"x" * 500, list(range(100)), {"a": np.arange(100)}, (1, 2), {1}, Tagged("t", 1, [1])]
)
def test_the_size_of_the_value_is_limited_exactly(value: Any) -> None:
    size = len(encode(value))
    assert len(encode(value, limits=Limits(value_bytes_max=size))) == size
    assert refused(value, value_bytes_max=size - 1).code == "value.total_bytes"


def test_containers_that_contain_themselves_are_cycles_not_depth() -> None:
    items: Any = [1]
    items.append(items)
    error = refused(items)
    assert isinstance(error, NotSerializable) and error.code == "value.cycle"
    entries: Any = {}
    entries["a"] = [{"b": entries}]
    assert refused({"x": entries}).code == "value.cycle"
    inner: Any = []
    inner.append((1, inner))
    assert refused([inner]).code == "value.cycle"
    assert refused(items, depth_max=1).code == "value.cycle"


def test_the_path_of_a_cycle_goes_around_it_once() -> None:
    state: Any = {"messages": [1, {"parent": None}]}
    state["messages"][1]["parent"] = state
    for levels in (127, 128, 129):
        path = refused({"agent": state}, depth_max=levels).path
        # To the container that was met again, and once around from there.
        assert path is not None and path.startswith("$.agent.messages[1].parent")
        assert path.count("parent") == 1


def test_a_cycle_through_a_registered_object_is_a_cycle() -> None:
    @dataclasses.dataclass
    class Knot:
        next: Any = None

    register(Knot)
    knot = Knot()
    knot.next = {"deep": [knot]}
    assert refused(knot).code == "value.cycle"


def test_a_depth_of_10000_is_an_error_not_a_crash() -> None:
    for wrap in (lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}):
        value: Any = None
        for _ in range(10_000):
            value = wrap(value)
        assert refused(value, depth_max=512).code == "value.depth"


def test_an_encoder_that_changes_what_is_walked_is_noticed() -> None:
    class Meddler:
        def __init__(self, action: Any) -> None:
            self.action = action

    def meddle(obj: Meddler) -> None:
        obj.action()
        gc.collect()

    register(Meddler, encode=meddle, decode=lambda payload, version: payload)
    for action in ("clear", "pop", "append"):
        items: list[Any] = []
        act = getattr(items, action)
        items += [1, Meddler(lambda act=act: act(*([object()] if act.__name__ == "append" else []))), [2], [3]]
        assert refused({"a": items}).code == "value.changed"
    entries: dict[Any, Any] = {}
    entries.update(a=Meddler(entries.clear), b=[1], c=[2])
    assert refused(entries).code == "value.changed"
    grown: dict[Any, Any] = {}
    grown["a"] = Meddler(lambda: grown.update({str(number): [number] for number in range(1000)}))
    grown["b"] = 1
    assert refused(grown).code == "value.changed"
    by_key: dict[Any, Any] = {}
    by_key[Meddler(by_key.clear)] = [[1]]
    assert refused(by_key).code == "value.changed"
    # A set is copied before the walk, so what happens to it meanwhile does not show.
    members: set[Any] = set()
    members |= {Meddler(members.clear), (1, 2)}
    assert sorted(map(str, decode(encode(list(members))))) == ["(1, 2)", "None"]


def test_a_failed_encode_leaves_the_next_one_clean() -> None:
    before = encode({"a": 1})
    refused({"a": [1, 2, function]})
    assert encode({"a": 1}) == before


def test_an_encode_function_may_itself_encode() -> None:
    class Box:
        pass

    register(Box, encode=lambda box: encode([1, 2]), decode=lambda payload, version: decode(payload))
    assert decode(encode([Box(), Box()])) == [[1, 2], [1, 2]]


def test_exceptions_of_registered_functions_pass_through_with_a_note() -> None:
    class Sour:
        pass

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("sour")

    register(Sour, encode=fail, decode=fail)
    with pytest.raises(ZeroDivisionError) as caught:
        encode({"a": [Sour()]})
    assert caught.value.__notes__ == ["at $.a[0] of a spellkeep value"]
    with pytest.raises(ZeroDivisionError) as caught:
        decode(encode({"a": [Tagged("Sour", 1, None)]}))
    assert caught.value.__notes__ == ["at $.a[0] of a spellkeep value"]


@pytest.mark.parametrize("depth", [128, 512])
def test_eight_threads_with_small_stacks_reach_the_depth_limit(depth: int) -> None:
    """The walk recurses once per level, so its frames must be small."""
    failures: list[BaseException] = []
    shapes = [nest(depth)]
    for wrap in (lambda inner: (inner,), lambda inner: {"a": inner}, lambda inner: {(1, "b"): inner}):
        value: Any = 0
        for _ in range(depth - 2):
            value = wrap(value)
        shapes.append([value])

    def work() -> None:
        try:
            for shape in shapes:
                data = encode(shape, limits=Limits(depth_max=depth))
                encode(decode(data), limits=Limits(depth_max=depth))
                Tagged("t", 1, decode(data)) if depth < 512 else None
        except BaseException as error:
            failures.append(error)

    former = threading.stack_size(192 * 1024 if depth == 128 else 512 * 1024)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.stack_size(former)
    assert failures == []
