"""Lazy views: what is asked for comes as `get` gives it, whatever stands before it, and nobody writes through them."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import DictView, SequenceView, StateManager, StateScope, Tagged
from spellkeep.errors import Closed, Corrupted, InvalidKey, KeyMissing
from spellkeep.value import decode, encode, register, view
from value_samples import Step, conversation

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    with sk.open(tmp_path / "s") as opened:
        yield opened


def test_a_field_and_an_item_are_found_in_a_large_value(state: StateManager) -> None:
    state.set(SCOUT, "chat", conversation())
    seen = state.view(SCOUT, "chat")
    assert isinstance(seen, DictView)
    assert seen["meta"]["model"] == "large"
    assert isinstance(seen["messages"], SequenceView)
    assert seen["messages"][217]["content"] == "message 217 " * 5
    assert seen["messages"][-1]["id"] == 299
    assert [message["id"] for message in seen["messages"]] == list(range(300))
    assert seen.to_python() == state.get(SCOUT, "chat") == conversation()
    assert type(seen.to_python()["messages"][0]) is dict


def test_a_handle_and_the_twins_give_views_too(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    handle["chat"] = conversation()

    async def both() -> list[Any]:
        return [await state.aview(SCOUT, "chat"), await handle.aview("chat")]

    for seen in (handle.view("chat"), *asyncio.run(both())):
        assert seen["messages"][17]["id"] == 17


def test_a_key_without_a_value_is_missing_as_for_entry(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    for call in (lambda: state.view(SCOUT, "none"), lambda: handle.view("none")):
        with pytest.raises(KeyMissing) as caught:
            call()
        assert caught.value.code == "key.missing"
    with pytest.raises(InvalidKey):
        state.view(SCOUT, "")
    state.close()
    with pytest.raises(Closed):
        state.view(SCOUT, "none")
    with pytest.raises(Closed):
        handle.view("none")


def test_a_view_shows_its_value_after_an_overwrite_a_delete_and_the_close(state: StateManager) -> None:
    old = conversation() | {"raw": b"x" * 5000, "array": np.arange(500.0)}
    state.set(SCOUT, "chat", old)
    seen = state.view(SCOUT, "chat")
    raw, array, nested = seen["raw"], seen["array"], seen["messages"]
    for number in range(50):
        state.set(SCOUT, "chat", [number] * 5000)
    state.delete(SCOUT, "chat")
    state.close()
    del seen
    assert nested.to_python() == old["messages"]
    assert raw == old["raw"]
    assert (array == old["array"]).all()


@pytest.mark.parametrize("value", [1, "text", None, 2.5, {1, 2}, Tagged("t", 1, [1]), dt.date(2024, 1, 1)])
def test_what_is_no_list_tuple_or_dict_comes_as_it_is(state: StateManager, value: Any) -> None:
    state.set(SCOUT, "k", value)
    assert state.view(SCOUT, "k") == value
    assert type(state.view(SCOUT, "k")) is type(value)
    assert view(encode([value]))[0] == value


def test_bytes_are_read_only_memoryviews_without_a_copy(state: StateManager) -> None:
    state.set(SCOUT, "k", {"raw": b"abc" * 1000, "short": b"", "own": bytearray(b"x")})
    seen = state.view(SCOUT, "k")
    raw = seen["raw"]
    assert isinstance(raw, memoryview)
    assert raw.readonly
    assert raw == b"abc" * 1000
    assert seen["short"] == b""
    # No copy: both look at the same place.
    assert np.frombuffer(raw, "u1").ctypes.data == np.frombuffer(seen["raw"], "u1").ctypes.data
    # A bytearray is there to be changed, so each is a copy of its own.
    assert seen["own"] == bytearray(b"x")
    assert type(seen["own"]) is bytearray
    assert seen.to_python() == {"raw": b"abc" * 1000, "short": b"", "own": bytearray(b"x")}
    assert type(seen.to_python()["raw"]) is bytes


def test_arrays_are_read_only_and_look_at_the_stored_bytes(state: StateManager) -> None:
    kept = {"long": np.arange(1000.0), "short": np.arange(3), "none": np.zeros((0, 2)), "text": np.array(["a", "bc"])}
    state.set(SCOUT, "k", kept)
    seen = state.view(SCOUT, "k")
    for name, array in kept.items():
        back = seen[name]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        if array.size:
            assert not back.flags.writeable
            assert back.ctypes.data == seen[name].ctypes.data
    moved = decode(encode(["x", Tagged("t", 1, np.arange(200.0))]))[1]
    data = encode(["x" * 3, moved])
    assert (view(data)[1].payload == np.arange(200.0)).all()


def test_an_array_whose_place_is_not_aligned_is_read_only_as_well() -> None:
    data = encode([np.arange(4.0)])
    body = data[data.index(b"\xc9") :]
    # Moved by one byte, as a payload that was kept in another value may be.
    moved = data[:2] + b"\x92\x01" + body
    assert (view(moved)[1] == np.arange(4.0)).all()
    assert not view(moved)[1].flags.writeable


def test_registered_objects_are_rebuilt_when_they_are_reached() -> None:
    class Lazy:
        rebuilt = 0

    def rebuild(payload: Any, version: int) -> Lazy:
        Lazy.rebuilt += 1
        return Lazy()

    register(Lazy, tag="test.Lazy", encode=lambda lazy: [1] * 5000, decode=rebuild)
    seen = view(encode({"a": Lazy(), "b": {"c": Step("s", ["t"])}, "n": 1}))
    assert seen["n"] == 1
    assert len(list(seen)) == 3
    assert Lazy.rebuilt == 0
    assert type(seen["a"]) is Lazy
    assert Lazy.rebuilt == 1
    assert seen["b"]["c"] == Step("s", ["t"])


def test_a_view_can_be_neither_hashed_nor_pickled_nor_copied_nor_written() -> None:
    for seen in (view(encode({"a": 1})), view(encode([1])), view(encode((1,)))):
        with pytest.raises(TypeError, match="unhashable"):
            hash(seen)
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="to_python"):
                refused(seen)
        with pytest.raises(TypeError):
            seen[0] = 1
        with pytest.raises(TypeError):
            del seen[0]
        with pytest.raises(AttributeError):
            seen.other = 1
        with pytest.raises(TypeError):
            type(seen)()


def test_a_repr_is_short_and_runs_no_code() -> None:
    assert repr(view(encode({}))) == "<view of a dict of 0 items>"
    assert repr(view(encode({"a": 1}))) == '<view of a dict of 1 item: "a">'
    assert repr(view(encode(conversation()))).startswith('<view of a dict of 20 items: "field0", "field1", ')
    assert repr(view(encode({(1, 2): 1}))) == "<view of a dict of 1 item: ...>"
    assert repr(view(encode([1, 2]))) == "<view of a list of 2 items>"
    assert repr(view(encode((1,)))) == "<view of a tuple of 1 item>"
    assert len(repr(view(encode({"x" * 10**6 + str(number): number for number in range(9)})))) < 400


def test_a_view_cannot_be_kept_but_what_it_shows_can(state: StateManager) -> None:
    state.set(SCOUT, "k", {"a": [1]})
    seen = state.view(SCOUT, "k")
    with pytest.raises(sk.errors.NotSerializable, match="to_python"):
        state.set(SCOUT, "copy", seen)
    state.set(SCOUT, "copy", seen.to_python())
    assert state.get(SCOUT, "copy") == {"a": [1]}


def test_damage_is_an_error_where_it_is_reached_and_nowhere_else() -> None:
    data = bytearray(encode({"a": 1, "b": ["x", "y"], "c": 3}))
    data[data.index(b"y")] = 0xFF
    seen = view(bytes(data))
    assert seen["a"] == 1
    assert seen["b"][0] == "x"
    assert seen["c"] == 3
    items = seen["b"]
    for reach in (lambda: items[1], lambda: list(items), lambda: items[:], items.to_python, seen.to_python):
        with pytest.raises(Corrupted) as caught:
            reach()
        assert caught.value.code == "value.malformed"
    # A key that cannot be one: the list stands where a string was.
    listed = view(encode({"ab": 1}).replace(b"\xa2ab", b"\x92\x01\x01"))
    for reach in (lambda: list(listed), lambda: list(listed.items()), lambda: listed["b"]):
        with pytest.raises(Corrupted, match="cannot be one"):
            reach()
    for broken in (b"", b"\xc1\x02\xc0", b"\xc1\x01", b"\xc1\x01\x93\x01"):
        with pytest.raises(Corrupted):
            view(broken)
    with pytest.raises(Corrupted, match="newer"):
        view(b"\xc1\x03\xc0")


def touch(seen: Any) -> None:
    """Reach everything."""
    if isinstance(seen, DictView):
        for key, value in seen.items():
            touch(value)
            seen.get(key)
    elif isinstance(seen, SequenceView):
        for index in range(len(seen)):
            touch(seen[index])
        touch(list(seen[::7]))


def test_every_flipped_bit_of_a_footer_is_refused_by_get_and_harmless_to_a_view() -> None:
    data = encode({f"key{number}": ["x" * 20] * (number % 20) for number in range(20)})
    assert data[1] == 2
    footer = len(data) - int.from_bytes(data[-4:], "little") - 6
    for bit in range(footer * 8, len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Corrupted):
            decode(bytes(flipped))
        try:
            seen = view(bytes(flipped))
            repr(seen)
            touch(seen)
        except Corrupted as error:
            assert error.code == "value.malformed"
