"""The rules of keys hold in every call that takes one, and a refused call writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")

BAD_KEYS = [
    ("", "key.empty", "empty"),
    ("..", "key.dot_dot", "index 0"),
    ("a/../b", "key.dot_dot", "index 2"),
    ("a..b", "key.dot_dot", "index 1"),
    ("a//b", "key.double_slash", "index 1"),
    ("a\\b", "key.backslash", "index 1"),
    ("a\0", "key.control_character", "U+0000 at index 1"),
    ("a\nb", "key.control_character", "U+000A at index 1"),
    ("\x7f", "key.control_character", "U+007F"),
    ("é\x85", "key.control_character", "U+0085 at index 1"),
    ("a\u200d", "key.format_character", "U+200D at index 1"),
    ("a\u202eb", "key.format_character", "U+202E"),
    ("\ufeffa", "key.format_character", "U+FEFF at index 0"),
    ("cafe\u0301", "key.not_nfc", "caf\u00e9"),
    ("\u212b", "key.not_nfc", "\u00c5"),
    ("x" * 257, "key.too_long", "257"),
    ("é" * 129, "key.too_long", "258"),
    ("a\ud800", "key.lone_surrogate", "index 1"),
]

GOOD_KEYS = [
    *(
        "a",
        ".",
        "a.b",
        "/",
        "a/b",
        " ",
        "a b",
        "x" * 256,
        "é" * 128,
        "日本",
        "\U0001f600",
        "A:b|c*?<>",
        "%2e%2e",
        "__class__",
    ),
    *("caf\u00e9", "con", "-rf", "'; DROP TABLE state; --", "{x}", "$HOME", "~", "e\u0328\u0301"[0], "null", "\ue000"),
]

Call = Callable[[StateManager, Any], object]


CALLS: dict[str, Call] = {
    "set": lambda state, key: state.set(SCOUT, key, 1),
    "set if_version": lambda state, key: state.set(SCOUT, key, 1, if_version=0),
    "get": lambda state, key: state.get(SCOUT, key),
    "get of an untouched scope": lambda state, key: state.get(StateScope.user("new"), key),
    "entry": lambda state, key: state.entry(SCOUT, key),
    "delete": lambda state, key: state.delete(SCOUT, key),
    "exists": lambda state, key: state.exists(SCOUT, key),
    "history": lambda state, key: state.history(SCOUT, key),
    "batch set": lambda state, key: state.batch().set(SCOUT, key, 1),
    "batch delete": lambda state, key: state.batch().delete(SCOUT, key),
    "handle set": lambda state, key: state.scope(SCOUT).set(key, 1),
    "handle get": lambda state, key: state.scope(SCOUT).get(key),
    "handle entry": lambda state, key: state.scope(SCOUT).entry(key),
    "handle delete": lambda state, key: state.scope(SCOUT).delete(key),
    "handle exists": lambda state, key: state.scope(SCOUT).exists(key),
    "handle history": lambda state, key: state.scope(SCOUT).history(key),
    "handle getitem": lambda state, key: state.scope(SCOUT)[key],
    "handle setitem": lambda state, key: state.scope(SCOUT).__setitem__(key, 1),
    "handle delitem": lambda state, key: state.scope(SCOUT).__delitem__(key),
    "handle pop": lambda state, key: state.scope(SCOUT).pop(key, 1),
    "handle setdefault": lambda state, key: state.scope(SCOUT).setdefault(key, 1),
    "handle update": lambda state, key: state.scope(SCOUT).update({"good": 1, key: 1}),
    "aset": lambda state, key: asyncio.run(state.aset(SCOUT, key, 1)),
    "aget": lambda state, key: asyncio.run(state.aget(SCOUT, key)),
    "adelete": lambda state, key: asyncio.run(state.adelete(SCOUT, key)),
    "ahistory": lambda state, key: asyncio.run(state.ahistory(SCOUT, key)),
}


@pytest.fixture(scope="module")
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        opened.set(SCOUT, "there", 1)
        yield opened


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_refuses_every_bad_key_with_its_code_and_writes_nothing(state: StateManager, call: Call) -> None:
    before = state.last_version
    for key, code, says in BAD_KEYS:
        with pytest.raises(errors.InvalidKey) as caught:
            call(state, key)
        assert caught.value.code == code, ascii(key)
        assert says in caught.value.detail, ascii(key)
    assert state.last_version == before
    assert state.list_keys(SCOUT) == ["there"]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_refuses_a_key_that_is_no_str_and_names_its_type(state: StateManager, call: Call) -> None:
    before = state.last_version
    for key, name in [(None, "NoneType"), (7, "int"), (b"a", "bytes"), (("a",), "tuple")]:
        with pytest.raises(TypeError, match=f"a key must be a str, not {name}"):
            call(state, key)
    assert state.last_version == before


def test_a_missing_argument_is_a_type_error_that_names_it(state: StateManager) -> None:
    with pytest.raises(TypeError, match="value"):
        state.set(SCOUT, "a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="key"):
        state.get(SCOUT)  # type: ignore[call-arg]


def test_the_spelling_that_the_error_of_a_key_shows_is_one_that_works() -> None:
    with sk.open("memory:") as state:
        for key in ("cafe\u0301", "\u1100\u1161"):
            with pytest.raises(errors.InvalidKey) as caught:
                state.set(SCOUT, key, 1)
            spelled = caught.value.detail.split('"')[1]
            state.set(SCOUT, spelled, 1)


@pytest.mark.parametrize("key", GOOD_KEYS, ids=ascii)
def test_good_keys_come_back_exactly_and_are_never_anything_but_keys(key: str) -> None:
    with sk.open("memory:") as state:
        state.set(SCOUT, key, key)
        assert state.list_keys(SCOUT) == [key]
        assert state.get(SCOUT, key) == key
        assert [change.key for change in state.history(SCOUT, key)] == [key]
        assert [change.key for change in state.changes()] == [key]
        assert state.delete(SCOUT, key) == 2


def test_keys_are_never_file_names(tmp_path: Any) -> None:
    with sk.open(tmp_path / "s") as state:
        before = sorted(path.name for path in (tmp_path / "s").rglob("*"))
        for key in GOOD_KEYS:
            state.set(SCOUT, key, 1)
        assert sorted(path.name for path in (tmp_path / "s").rglob("*")) == before
    with sk.open(tmp_path / "s") as state:
        assert state.list_keys(SCOUT) == sorted(set(GOOD_KEYS))


def test_a_str_subclass_is_a_key_by_its_text_whatever_it_says_of_itself(state: StateManager) -> None:
    class Name(str):
        def __str__(self) -> str:
            return "other"

        def __eq__(self, other: object) -> bool:
            return False

        __hash__ = str.__hash__

    assert state.get(SCOUT, Name("there")) == 1
    assert Name("there") in state.scope(SCOUT)


def test_a_prefix_is_any_text_and_matches_as_text_not_as_a_pattern(state: StateManager) -> None:
    with sk.open("memory:") as state:
        for key in ("a", "a%", "a_b", "ab", "b", "é"):
            state.set(SCOUT, key, 1)
        assert state.list_keys(SCOUT, "a") == ["a", "a%", "a_b", "ab"]
        assert state.list_keys(SCOUT, "a%") == ["a%"]
        assert state.list_keys(SCOUT, "a_") == ["a_b"]
        assert state.list_keys(SCOUT, prefix="\xe9") == ["é"]
        assert state.list_keys(SCOUT, "..") == state.list_keys(SCOUT, "x" * 1000) == state.list_keys(SCOUT, "\0") == []
        with pytest.raises(TypeError):
            state.list_keys(SCOUT, b"a")  # type: ignore[arg-type]
