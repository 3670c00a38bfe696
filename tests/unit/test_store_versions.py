"""Versions, if_version, classes, and what a handle writes with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

import spellkeep as sk
from spellkeep import StateClass, StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def test_versions_rise_by_one_over_all_scopes_and_nothing_written_takes_none(state: StateManager) -> None:
    assert state.last_version == 0
    assert state.set(SCOUT, "a", 1) == 1
    assert state.set(StateScope.GLOBAL, "a", 1) == 2
    assert state.set(SCOUT, "a", 1) == 3, "the same value again is a write"
    assert state.delete(SCOUT, "missing") == 0
    assert state.clear_scope(StateScope.user("nobody")) == 0
    assert state.batch().commit() == 0
    assert state.delete(SCOUT, "a") == 4
    assert state.clear_scope(StateScope.GLOBAL) == 1
    assert state.last_version == 5


def test_if_version_zero_writes_only_where_nothing_is(state: StateManager) -> None:
    assert state.set(SCOUT, "a", "first", if_version=0) == 1
    with pytest.raises(errors.Conflict) as caught:
        state.set(SCOUT, "a", "second", if_version=0)
    conflict = caught.value
    assert conflict.code == "cas.version_mismatch"
    assert (conflict.current, conflict.current_version, conflict.expected_version) == ("first", 1, 0)
    assert "'a'" in conflict.detail.replace('"', "'")
    assert state.get(SCOUT, "a") == "first"
    assert state.last_version == 1


def test_if_version_of_a_live_value_writes_only_over_that_version(state: StateManager) -> None:
    first = state.set(SCOUT, "a", 1)
    second = state.set(SCOUT, "a", 2, if_version=first)
    with pytest.raises(errors.Conflict) as caught:
        state.set(SCOUT, "a", 3, if_version=first)
    assert (caught.value.current, caught.value.current_version, caught.value.expected_version) == (2, second, first)
    assert state.get(SCOUT, "a") == 2


@pytest.mark.parametrize("how", ["delete", "clear", "batch"])
def test_after_a_removal_only_zero_matches_and_the_conflict_has_no_value(state: StateManager, how: str) -> None:
    version = state.set(SCOUT, "a", 1)
    if how == "delete":
        state.delete(SCOUT, "a", if_version=version)
    elif how == "clear":
        state.clear_scope(SCOUT)
    else:
        with state.batch() as batch:
            batch.delete(SCOUT, "a", if_version=version)
    for wrong in (version, state.last_version):
        with pytest.raises(errors.Conflict) as caught:
            state.set(SCOUT, "a", 2, if_version=wrong)
        assert (caught.value.current, caught.value.current_version) == (None, 0)
        assert "is gone" in caught.value.detail
        with pytest.raises(errors.Conflict):
            state.delete(SCOUT, "a", if_version=wrong)
    assert state.delete(SCOUT, "a", if_version=0) == 0
    assert state.set(SCOUT, "a", 2, if_version=0) == state.last_version


def test_a_conflict_is_no_builtin_error_so_a_broad_except_does_not_eat_it(state: StateManager) -> None:
    state.set(SCOUT, "a", 1)
    with pytest.raises(errors.Conflict) as caught:
        state.delete(SCOUT, "a", if_version=7)
    assert isinstance(caught.value, errors.StateError)
    assert not isinstance(caught.value, ValueError | TypeError | OSError | LookupError)


def test_a_conflict_over_a_value_that_cannot_be_read_is_still_a_conflict(state: StateManager) -> None:
    # It was whatever the decode function raised, so a loop that tries again on Conflict broke.
    class Broken:
        pass

    def refuse(payload: object, version: int) -> Broken:
        raise ZeroDivisionError("no way back")

    sk.register(Broken, tag="test_store_versions.Broken", encode=lambda _: 1, decode=refuse)
    state.set(SCOUT, "a", Broken())
    with pytest.raises(errors.Conflict, match="no way back") as caught:
        state.set(SCOUT, "a", 2, if_version=0)
    assert (caught.value.current, caught.value.current_version) == (None, 1)


@pytest.mark.parametrize("wrong", ["1", 1.0, b"1", object()])
def test_an_if_version_that_is_no_integer_is_a_type_error(state: StateManager, wrong: object) -> None:
    state.set(SCOUT, "a", 1)
    with pytest.raises(TypeError, match="if_version"):
        state.set(SCOUT, "a", 2, if_version=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="if_version"):
        state.delete(SCOUT, "a", if_version=wrong)  # type: ignore[arg-type]
    assert state.last_version == 1


def test_scopes_and_keys_that_join_to_the_same_text_are_different_places(state: StateManager) -> None:
    # In the reference these two were one record.
    state.set(StateScope.agent("a"), "b:c", 1)
    state.set(StateScope.agent("a:b"), "c", 2)
    state.set(StateScope.step("a", "b"), "c", 3)
    state.set(StateScope.custom("a"), "b:c", 4)
    assert state.get(StateScope.agent("a"), "b:c") == 1
    assert state.get(StateScope.agent("a:b"), "c") == 2
    assert state.get(StateScope.step("a", "b"), "c") == 3
    assert state.get(StateScope.custom("a"), "b:c") == 4
    assert not state.exists(StateScope.agent("a"), "c")
    assert state.clear_scope(StateScope.agent("a")) == 1
    assert state.get(StateScope.agent("a:b"), "c") == 2


def test_a_scope_does_not_see_scopes_that_begin_with_its_name(state: StateManager) -> None:
    state.set(StateScope.agent("acme"), "k", 1)
    state.set(StateScope.agent("acme-corp"), "k", 2)
    state.set(StateScope.agent("acme%"), "k", 3)
    assert list(state.items(StateScope.agent("acme"))) == [("k", 1)]
    assert state.list_keys(StateScope.agent("acm")) == []


def test_an_entry_shows_value_version_time_and_class(state: StateManager) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    version = state.set(SCOUT, "a", [1], state_class=StateClass.TRUSTED)
    entry = state.entry(SCOUT, "a")
    assert (entry.value, entry.version, entry.state_class) == ([1], version, StateClass.TRUSTED)
    assert before < entry.updated_at < datetime.now(UTC) + timedelta(seconds=1)
    assert entry.updated_at.tzinfo is UTC
    assert state.history(SCOUT, "a")[0].at == entry.updated_at
    with pytest.raises(errors.KeyMissing, match="'b'") as caught:
        state.entry(SCOUT, "b")
    assert caught.value.code == "key.missing"


def test_the_class_is_the_calls_own_else_the_handles_else_standard(state: StateManager) -> None:
    trusted = state.scope(SCOUT, state_class=StateClass.TRUSTED)
    assert (trusted.state_class, state.scope(SCOUT).state_class) == (StateClass.TRUSTED, StateClass.STANDARD)
    trusted["item"] = 1
    trusted.set("set", 1)
    trusted.setdefault("setdefault", 1)
    # It wrote standard values.
    trusted.update({"update": 1})
    assert {trusted.entry(key).state_class for key in trusted} == {StateClass.TRUSTED}
    trusted.set("own", 1, state_class=StateClass.STANDARD)
    state.set(SCOUT, "plain", 1)
    with state.batch() as batch:
        batch.set(SCOUT, "batch", 1)
        batch.set(SCOUT, "batch trusted", 1, state_class=StateClass.TRUSTED)
    standard = {key for key in trusted if trusted.entry(key).state_class is StateClass.STANDARD}
    assert standard == {"own", "plain", "batch"}
    assert {change.key: change.state_class for change in state.changes()} == {
        key: trusted.entry(key).state_class for key in trusted
    }


def test_the_class_survives_reopening(tmp_path: object) -> None:
    with sk.open(f"{tmp_path}/s") as state:
        state.set(SCOUT, "a", 1, state_class=StateClass.TRUSTED)
    with sk.open(f"{tmp_path}/s") as state:
        assert state.entry(SCOUT, "a").state_class is StateClass.TRUSTED


def test_limits_hold_for_standard_values_and_only_depth_and_size_for_trusted_ones() -> None:
    limits = sk.Limits(items_max=3, string_bytes_max=4, depth_max=2, value_bytes_max=100)
    with sk.open("memory:", limits=limits) as state:
        for value, code in [
            ([1, 2, 3, 4], "value.items"),
            ("12345", "value.string_bytes"),
            ([[[]]], "value.depth"),
            ([b"1234" * 30], "value.string_bytes"),
        ]:
            with pytest.raises(errors.LimitExceeded) as caught:
                state.set(SCOUT, "a", value)
            assert caught.value.code == code
        state.set(SCOUT, "items", [1, 2, 3, 4], state_class=StateClass.TRUSTED)
        state.set(SCOUT, "string", "12345", state_class=StateClass.TRUSTED)
        for value, code in [([[[]]], "value.depth"), (b"1" * 101, "value.total_bytes")]:
            with pytest.raises(errors.LimitExceeded) as caught:
                state.set(SCOUT, "a", value, state_class=StateClass.TRUSTED)
            assert caught.value.code == code
        assert state.last_version == 2


@pytest.mark.parametrize("wrong", ["STANDARD", 1, StateClass, StateScope.GLOBAL])
def test_a_class_that_is_none_is_a_type_error(state: StateManager, wrong: object) -> None:
    with pytest.raises(TypeError, match="StateClass"):
        state.set(SCOUT, "a", 1, state_class=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="StateClass"):
        state.scope(SCOUT, state_class=wrong)  # type: ignore[arg-type]
    assert state.last_version == 0


@pytest.mark.parametrize("wrong", ["agent:scout", None, ("agent", "scout"), b"agent"])
def test_a_scope_that_is_none_is_a_type_error_everywhere(state: StateManager, wrong: object) -> None:
    scope: StateScope = wrong  # type: ignore[assignment]
    for call in (
        lambda: state.set(scope, "k", 1),
        lambda: state.get(scope, "k"),
        lambda: state.entry(scope, "k"),
        lambda: state.delete(scope, "k"),
        lambda: state.exists(scope, "k"),
        lambda: state.list_keys(scope),
        lambda: state.items(scope),
        lambda: state.clear_scope(scope),
        lambda: state.history(scope, "k"),
        lambda: state.scope(scope),
        lambda: state.batch().set(scope, "k", 1),
        lambda: state.batch().delete(scope, "k"),
    ):
        with pytest.raises(TypeError, match="StateScope"):
            call()


@pytest.mark.parametrize("wrong", [-1, 2**64])
def test_a_number_that_is_no_version_says_so(wrong: int) -> None:
    with sk.open("memory:") as state:
        for call in (
            lambda: state.set(StateScope.GLOBAL, "a", 1, if_version=wrong),
            lambda: state.delete(StateScope.GLOBAL, "a", if_version=wrong),
            lambda: state.changes(since=wrong),
        ):
            with pytest.raises(ValueError, match="a version is a whole number from 0 to"):
                call()
        with pytest.raises(TypeError, match="a version is a whole number"):
            state.set(StateScope.GLOBAL, "a", 1, if_version=True)
        assert state.last_version == 0
