"""Entries with a time to live."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
HUNDRED_YEARS_S = 3_155_760_000
SHORT_S = 0.03


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def wait_until(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_expired_key_is_gone_for_every_read(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    for key in ("a", "b"):
        state.set(SCOUT, key, 1, ttl_s=SHORT_S)
    time.sleep(SHORT_S)
    assert state.get(SCOUT, "a", "gone") == handle.get("a", "gone") == "gone"
    assert not state.exists(SCOUT, "a")
    assert "a" not in handle
    assert (len(handle), [*handle], [*handle.items()], [*handle.values()]) == (0, [], [], [])
    assert (state.list_keys(SCOUT), [*state.items(SCOUT)], state.list_scopes()) == ([], [], [])
    assert (state.stats().key_count, state.stats().scope_count) == (0, 0)
    assert handle.pop("a", "gone") == "gone"
    assert state.delete(SCOUT, "a") == 0
    assert state.clear_scope(SCOUT) == 0
    for read in (lambda: state.entry(SCOUT, "a"), lambda: handle.entry("a"), lambda: handle["a"]):
        with pytest.raises(errors.KeyMissing):
            read()


def test_an_expired_key_counts_as_absent_for_if_version(state: StateManager) -> None:
    first = state.set(SCOUT, "a", 1, ttl_s=SHORT_S)
    time.sleep(SHORT_S)
    with pytest.raises(errors.Conflict) as caught:
        state.set(SCOUT, "a", 2, if_version=first)
    assert (caught.value.current_version, caught.value.current) == (0, None)
    with pytest.raises(errors.Conflict):
        state.delete(SCOUT, "a", if_version=first)
    assert state.set(SCOUT, "a", 2, if_version=0) > first
    assert state.scope(SCOUT).setdefault("a", 3) == 2


def test_an_entry_says_when_it_expires(state: StateManager) -> None:
    before = datetime.now(UTC)
    state.set(SCOUT, "a", 1, ttl_s=90)
    entry = state.entry(SCOUT, "a")
    assert entry.expires_at is not None
    lives = entry.expires_at - before
    assert timedelta(seconds=90) - timedelta(milliseconds=1) <= lives <= timedelta(seconds=100)
    assert abs(entry.expires_at - entry.updated_at - timedelta(seconds=90)) < timedelta(seconds=10)
    assert state.history(SCOUT, "a")[0].expires_at == entry.expires_at
    assert state.scope(SCOUT).entry("a") == entry


def test_a_set_without_ttl_takes_a_former_expiry_away(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    state.set(SCOUT, "a", 1, ttl_s=SHORT_S)
    handle.set("b", 1, ttl_s=SHORT_S)
    state.set(SCOUT, "a", 2)
    handle["b"] = 2
    assert state.entry(SCOUT, "a").expires_at is None
    time.sleep(2 * SHORT_S)
    assert [*handle.items()] == [("a", 2), ("b", 2)]
    # On a busy machine the first ones may have been over before the second were written.
    assert [state.history(SCOUT, key)[0].operation for key in ("a", "b")] == ["set", "set"]


def test_every_way_to_write_takes_ttl_s(state: StateManager) -> None:
    handle = state.scope(SCOUT)

    async def twins() -> None:
        await state.aset(SCOUT, "aset", 1, ttl_s=60)
        await handle.aset("handle.aset", 1, ttl_s=60)

    state.set(SCOUT, "set", 1, ttl_s=60)
    handle.set("handle.set", 1, ttl_s=60.0)
    asyncio.run(twins())
    with state.batch() as batch:
        batch.set(SCOUT, "batch", 1, ttl_s=60)
        batch.set(SCOUT, "batch, stays", 1)
    state.set(SCOUT, "larger than the ring", bytes(8 << 20), ttl_s=60)
    expiring = {key for key in handle if handle.entry(key).expires_at is not None}
    assert expiring == set(handle) - {"batch, stays"}


def test_history_and_changes_show_the_expiry(state: StateManager) -> None:
    version = state.set(SCOUT, "a", 1, ttl_s=SHORT_S)
    wait_until(lambda: state.last_version > version)
    expired, written = state.history(SCOUT, "a")
    assert (expired.operation, expired.key, expired.value, expired.expires_at) == ("expire", "a", None, None)
    assert (written.operation, written.value) == ("set", 1)
    assert expired.at >= written.at
    assert [change.operation for change in state.changes()] == ["set", "expire"]


def test_thousands_expire_in_the_background_while_others_are_written(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    for number in range(3000):
        handle.set(f"short/{number}", number, ttl_s=0.001)
        handle[f"stays/{number % 50}"] = number
    wait_until(lambda: state.last_version == 9000)
    assert sorted(handle) == sorted(f"stays/{number}" for number in range(50))
    assert len(handle) == 50
    operations = [change.operation for change in state.changes()]
    assert (operations.count("expire"), operations.count("set")) == (3000, 6000)


def test_an_expiry_holds_after_reopening(tmp_path: Path) -> None:
    with sk.open(tmp_path) as state:
        state.set(SCOUT, "short", 1, ttl_s=0.1)
        state.set(SCOUT, "long", 2, ttl_s=1000)
        expires_at = state.entry(SCOUT, "long").expires_at
    time.sleep(0.1)
    with sk.open(tmp_path) as state:
        assert state.list_keys(SCOUT) == ["long"]
        assert state.entry(SCOUT, "long").expires_at == expires_at
        wait_until(lambda: state.history(SCOUT, "short")[0].operation == "expire")


def test_an_iteration_keeps_what_expires_while_it_runs(state: StateManager) -> None:
    for ttl_s in (0.05, 0.5, 5.0):
        for key in ("a", "b", "c"):
            state.set(SCOUT, key, key, ttl_s=ttl_s)
        items = state.items(SCOUT)
        found, version = next(items, None), state.last_version
        if state.exists(SCOUT, "a"):
            break
        # They were over before the iteration began: this machine is so slow just now.
        wait_until(lambda: state.list_keys(SCOUT) == [] and state.history(SCOUT, "c")[0].operation == "expire")
    assert found == ("a", "a")
    wait_until(lambda: state.last_version == version + 3)
    assert [*items] == [("b", "b"), ("c", "c")]


@pytest.mark.parametrize("ttl_s", [1e-9, 1, 0.5, HUNDRED_YEARS_S, float(HUNDRED_YEARS_S)])
def test_a_ttl_up_to_its_limit_is_taken(ttl_s: float, state: StateManager) -> None:
    assert state.set(SCOUT, "a", 1, ttl_s=ttl_s) == 1


@pytest.mark.parametrize(
    "ttl_s",
    [
        0,
        0.0,
        -0.0,
        -1,
        -1e-9,
        math.nan,
        math.inf,
        -math.inf,
        HUNDRED_YEARS_S + 1,
        10**400,
        pytest.param(10**5000, id="huge"),
    ],
)
def test_a_ttl_beyond_its_limit_is_refused_and_nothing_written(ttl_s: Any, state: StateManager) -> None:
    for write in (state.set, state.batch().set):
        with pytest.raises(errors.LimitExceeded) as caught:
            write(SCOUT, "a", 1, ttl_s=ttl_s)
        assert caught.value.code == "ttl.out_of_range"
    with pytest.raises(ValueError, match="a hundred years"):
        state.scope(SCOUT).set("a", 1, ttl_s=ttl_s)
    assert state.last_version == 0


@pytest.mark.parametrize("ttl_s", ["1", True, timedelta(seconds=1), 1j, [1]])
def test_a_ttl_that_is_no_number_is_a_type_error(ttl_s: Any, state: StateManager) -> None:
    with pytest.raises(TypeError, match="ttl_s is a number of seconds"):
        state.set(SCOUT, "a", 1, ttl_s=ttl_s)


def test_none_is_no_ttl(state: StateManager) -> None:
    state.set(SCOUT, "a", 1, ttl_s=None)
    assert state.entry(SCOUT, "a").expires_at is None
