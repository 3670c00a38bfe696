"""Tags: who owns one, what an unknown one becomes, and that stored bytes never name code."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

import spellkeep
from spellkeep.errors import LimitExceeded, NotSerializable
from spellkeep.value import Limits, Tagged, decode, encode, register
from value_samples import Color, Pair, Step, refused, roundtrip, same


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
