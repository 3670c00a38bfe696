"""Values from outside: what is left out, where, and what stays as it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

import spellkeep
from spellkeep import ScopeHandle, StateClass, StateManager, StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.redaction import HIDDEN, Redactor
from spellkeep.value import Tagged, register

SCOUT = StateScope.agent("scout")
TAIL = "abcdefghijklmnopqrstuvwxyz012345"
KEY = f"sk-proj-{TAIL}"


@register
@dataclasses.dataclass(frozen=True)
class Login:
    user: str
    password: Any = None


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    with spellkeep.open(tmp_path) as state:
        yield state


@pytest.fixture
def external(state: StateManager) -> ScopeHandle:
    return state.scope(SCOUT, state_class=StateClass.EXTERNAL)


def kept(external: ScopeHandle, value: Any) -> Any:
    external.set("k", value)
    return external["k"]


@pytest.mark.parametrize("hidden", [None, 7, TAIL, b"x", [1], {"a": {"b": KEY}}, np.arange(3), object(), lambda: 0])
def test_the_value_of_a_secret_field_is_left_out_whole_whatever_it_is(external: ScopeHandle, hidden: object) -> None:
    value = {"outer": [({"dbPassword": hidden, "max_tokens": 5},)]}
    assert kept(external, value) == {"outer": [({"dbPassword": HIDDEN, "max_tokens": 5},)]}


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        *(f"gh{letter}_{TAIL}" for letter in "pousr"),
        *(f"xox{letter}-{TAIL}" for letter in "abprs"),
        f"AIza{TAIL}",
        *(f"{start}{TAIL}" for start in ("github_pat_", "glpat-", "hf_", "sk_live_", "rk_live_")),
        f"eyJ{TAIL}.{TAIL}.{TAIL}",
        *(f"{word} {TAIL}==" for word in ("Bearer", "bearer", "BEARER", "bEaReR", "BeArEr")),
        f"-----BEGIN RSA PRIVATE KEY-----\n{TAIL}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{TAIL}",
    ],
)
def test_each_kind_of_secret_is_left_out_of_every_place(tmp_path: Path, secret: str) -> None:
    text, left = f"a {secret}", f"a {HIDDEN}"
    zone = dt.timezone(dt.timedelta(0), text)
    # The name of a private key is "private key".
    one = HIDDEN if "PRIVATE" in text else 1
    value = [text, {text: 1}, (text,), {text}, frozenset({text}), Login(text, text), {"\udc80": "\udc80 " + text}]
    with spellkeep.open(tmp_path) as state:
        external = state.scope(SCOUT, state_class=StateClass.EXTERNAL)
        external.set("texts", value)
        external.set("alone", text)
        external.set("tagged", Tagged("unknown.Class", 1, {"token": text, "note": text}))
        external.set("zone", dt.datetime(2026, 1, 1, tzinfo=zone))
        external.set("time", dt.time(1, tzinfo=zone))
        assert external["texts"] == [
            left, {left: one}, (left,), {left}, frozenset({left}), Login(left, HIDDEN), {"\udc80": "\udc80 " + left}
        ]  # fmt: skip
        assert external["alone"] == left
        assert external["tagged"].payload == {"token": HIDDEN, "note": left}
        assert external["zone"].tzname() == external["time"].tzname() == left
        assert TAIL not in repr([*external.items(), *(change.value for change in state.changes())])
    tail = (TAIL if TAIL in secret else secret).encode()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and tail in path.read_bytes()]


def test_what_holds_no_secret_is_kept_byte_for_byte_as_any_other_value(state: StateManager) -> None:
    value = {
        "text": "task-oriented https://example.org:8080/a@b bears risk-free eyJ 密钥",
        "set": {1, ("a", 2)},
        "deep": [[{"x" * 2000: ["y" * 600] * 40}]],
        "tagged": Tagged("unknown.Class", 1, {"x": [1, 2.5, "z"]}),
        "at": dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "noon")),
        **{f"key {number}": "z" * 30 for number in range(100)},
    }
    external, trusted = (state.scope(SCOUT, state_class=each) for each in (StateClass.EXTERNAL, StateClass.TRUSTED))
    external.set("k", value)
    # Compared in the core, byte for byte.
    assert external._holds("k", value) and trusted._holds("k", value)


def test_keys_and_items_that_become_equal_are_told_apart(external: ScopeHandle) -> None:
    one, two = f"{KEY}1", f"{KEY}2"
    assert kept(external, {one: 1, "[redacted]": 2, two: 3, f"x {one}": 4, f"x {two}": 5}) == {
        "[redacted] 2": 1, "[redacted]": 2, "[redacted] 3": 3, "x [redacted]": 4, "x [redacted] 2": 5
    }  # fmt: skip
    assert kept(external, {one, two, 5}) == {"[redacted]", "[redacted] 2", 5}
    assert kept(external, {(one, 1): "a", (two, 1.0): "b", (3,): "c"}) == {
        "[redacted]": "a", "[redacted] 2": "b", (3,): "c"
    }  # fmt: skip
    # Here no text gives it away: a field of the keys is what differed.
    logins = {Login("anna", "a"): 1, Login("anna", "b"): 2, Login("anna"): 3}
    assert kept(external, logins) == {"[redacted]": 1, "[redacted] 2": 2, "[redacted] 3": 3}
    assert kept(external, {Login("a", 1), Login("a", 2)}) == {"[redacted]", "[redacted] 2"}
    assert kept(external, {frozenset({one}): 1, frozenset({two}): 2}) == {"[redacted]": 1, "[redacted] 2": 2}


def test_items_nested_in_items_take_no_more_than_a_moment(external: ScopeHandle) -> None:
    """A look into each level that looked into the next one twice would take 2**30 looks."""
    nested: frozenset[Any] = frozenset({"a"})
    for number in range(28):
        nested = frozenset({nested, number})
    begun = perf_counter()
    assert kept(external, [nested, KEY]) == [nested, HIDDEN]
    assert perf_counter() - begun < 1


def test_bytes_and_arrays_are_not_looked_into(external: ScopeHandle) -> None:
    value = {"bytes": KEY.encode(), "array": np.array([KEY]), "note": KEY}
    found = kept(external, value)
    assert found["bytes"] == KEY.encode() and found["array"][0] == KEY and found["note"] == HIDDEN


def test_large_containers_are_found_in_their_footers(external: ScopeHandle) -> None:
    value = {f"key {number} {KEY}{number}": [f"text {KEY} {number}" * 3] * 40 for number in range(50)}
    external.set("k", {"many": value, "token": ["x" * 5000], "after": "here"})
    view = external.view("k")
    left = f"text {HIDDEN}"
    assert view["after"] == "here" and view["token"] == HIDDEN
    assert view["many"][f"key 30 {HIDDEN}"][39].startswith(left)
    assert view.to_python() == external["k"] and TAIL not in repr(view.to_python())


@pytest.mark.parametrize(
    ("within", "beyond", "code"),
    [
        ([KEY] + [1] * 99_998, [KEY] + [1] * 99_999, "value.items"),
        ("x" * (1 << 20), "x" * (1 << 20) + "x", "value.string_bytes"),
        ([b"x" * (1 << 20)] * 3, [b"x" * (1 << 20)] * 4, "value.total_bytes"),
        # What is kept counts too: it may be longer.
        (["://a:b@"] * 99_000, [" ".join(["://a:b@"] * 131_072)], "value.string_bytes"),
    ],
)
def test_limits_are_those_of_what_is_kept_and_of_what_came(
    external: ScopeHandle, within: Any, beyond: Any, code: str
) -> None:
    external.set("k", [within] if isinstance(within, list) else within)
    with pytest.raises(errors.LimitExceeded) as refused:
        external.set("k", [beyond, 1] if isinstance(beyond, list) else beyond)
    assert refused.value.code == code
    external.set("k", {"token": beyond})


def test_depth_and_cycles_are_refused_also_where_something_is_left_out(external: ScopeHandle) -> None:
    deep: list[Any] = [KEY]
    for _ in range(31):
        deep = [deep]
    assert KEY not in repr(kept(external, deep))
    with pytest.raises(errors.LimitExceeded, match="depth"):
        external.set("k", [deep])
    cycle: dict[str, Any] = {"token": 1, "note": KEY}
    cycle["self"] = cycle
    with pytest.raises(errors.NotSerializable, match="contains itself"):
        external.set("k", cycle)
    cycle["token"] = cycle.pop("self")
    assert kept(external, cycle) == {"token": HIDDEN, "note": HIDDEN}


def test_batches_hooks_and_calls_of_another_class_leave_it_out_too(state: StateManager) -> None:
    with state.batch() as batch:
        batch.set(SCOUT, "batch", {"token": 1, "note": KEY}, state_class=StateClass.EXTERNAL)
    assert state.get(SCOUT, "batch") == {"token": HIDDEN, "note": HIDDEN}
    seen = []

    @state.hooks.before("set", name="adds")
    def adds(context: Any) -> Any:
        seen.append(context.value)
        return HookResult.modify([KEY, {"token": 1}])

    for state_class, wanted in ((StateClass.EXTERNAL, [HIDDEN, {"token": HIDDEN}]), (None, [KEY, {"token": 1}])):
        state.set(SCOUT, "k", KEY, state_class=state_class)
        assert state.get(SCOUT, "k") == wanted
    assert seen == [HIDDEN, KEY]


def test_an_agent_whose_scope_is_external_is_not_saved_anew_for_what_was_left_out(state: StateManager) -> None:
    external = state.scope(SCOUT, state_class=StateClass.EXTERNAL)
    external.set("k", {"note": KEY, "token": 7})
    assert external._holds("k", {"note": KEY, "token": 7})
    assert not state.scope(SCOUT)._holds("k", {"note": KEY, "token": 7})
    external._add_numbered("m/", 0, KEY)
    assert external._numbered_equal("m/", 0, [KEY]) == 1 and external._numbered_find("m/", 0, 1, KEY) == 0


@pytest.mark.parametrize("part", ["bearer ", "-----BEGIN ", f"eyJ-ghp_{TAIL}-", "://a:b@", f"{KEY} ", "sk-", "://a:"])
def test_hostile_texts_take_well_under_a_second(external: ScopeHandle, part: str) -> None:
    text = part * ((1 << 19) // len(part))
    begun = perf_counter()
    external.set("k", text)
    assert perf_counter() - begun < 1
    assert external["k"] == Redactor().text(text)
