"""Memory budget: values leave memory and come back, and nobody sees a difference."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope

SCOUT = StateScope.agent("scout")
BUDGET = 1 << 20


def value(i: int) -> dict[str, Any]:
    return {"number": i, "text": f"{i:06}" * 150, "list": list(range(20))}


def settle(state: StateManager) -> None:
    """Wait until the background has brought the values within the budget."""
    until = time.monotonic() + 60
    while state.stats().resident_bytes > BUDGET and time.monotonic() < until:
        time.sleep(0.01)
    assert state.stats().resident_bytes <= BUDGET


@pytest.fixture
def state(tmp_path: pathlib.Path) -> Any:
    with sk.open(tmp_path, memory_budget_bytes=BUDGET, keep_log_bytes=0) as state:
        for i in range(5000):
            state.set(SCOUT, f"key {i:04}", value(i))
        settle(state)
        yield state


def test_five_times_the_budget_is_kept_and_read_back(state: StateManager) -> None:
    assert len(state.list_keys(SCOUT)) == 5000
    for checkpointed in (False, True):
        if checkpointed:
            state.checkpoint()
        assert all(state.get(SCOUT, f"key {i:04}") == value(i) for i in range(5000))
        settle(state)
    assert [found["number"] for _, found in state.items(SCOUT)] == list(range(5000))
    settle(state)
    assert state.entry(SCOUT, "key 0003").value == value(3)
    assert state.view(SCOUT, "key 0007")["list"].to_python() == list(range(20))
    assert state.scope(SCOUT).pop("key 0009") == value(9)


def test_a_list_and_a_read_view_show_what_was_there_whatever_comes(state: StateManager) -> None:
    items, view = state.items(SCOUT), state.read_view()
    for i in range(5000):
        state.set(SCOUT, f"key {i:04}", i)
    state.checkpoint()
    state.checkpoint()
    assert [found for _, found in items] == [value(i) for i in range(5000)]
    with view:
        assert view.get(SCOUT, "key 0042") == value(42)
        assert [found["number"] for _, found in view.items(SCOUT)] == list(range(5000))
    assert state.get(SCOUT, "key 0042") == 42


def test_an_opening_stays_within_the_budget(state: StateManager) -> None:
    path = state.path
    state.close()
    with sk.open(path, memory_budget_bytes=BUDGET) as again:
        assert again.stats().resident_bytes <= BUDGET + 4096
        assert again.stats().key_count == 5000
        assert again.get(SCOUT, "key 4999") == value(4999)


def test_an_array_read_back_outlives_its_key(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path, memory_budget_bytes=0) as state:
        state.set(SCOUT, "array", np.arange(1000))
        state.set(SCOUT, "other", "x" * 1000)
        until = time.monotonic() + 60
        while state.stats().resident_bytes and time.monotonic() < until:
            time.sleep(0.01)
        array = state.get(SCOUT, "array")
        state.delete(SCOUT, "array")
    assert array.sum() == 499_500


def test_a_conflict_shows_a_value_that_was_not_in_memory(state: StateManager) -> None:
    with pytest.raises(sk.errors.Conflict) as caught:
        state.set(SCOUT, "key 0001", 1, if_version=3)
    assert caught.value.current == value(1)
