"""Batches: all or nothing, versions per call, and what they refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def test_a_batch_commits_at_the_end_of_its_block_over_several_scopes(state: StateManager) -> None:
    state.set(SCOUT, "old", 1)
    with state.batch() as batch:
        batch.set(SCOUT, "a", 1)
        batch.set(GLOBAL, "a", 2)
        batch.delete(SCOUT, "old")
        batch.delete(SCOUT, "never there")
        assert (batch.versions, state.last_version) == (None, 1)
        assert not state.exists(SCOUT, "a")
    assert batch.versions == [2, 3, 4, 0]
    assert dict(state.items(SCOUT)) == {"a": 1}
    assert [change.in_batch for change in state.changes(since=1)] == [True, True, False]


def test_of_several_calls_on_one_key_the_last_holds_and_all_show_its_version(state: StateManager) -> None:
    with state.batch() as batch:
        batch.set(SCOUT, "a", 1)
        batch.set(SCOUT, "b", 1)
        batch.set(SCOUT, "a", 2)
        batch.delete(SCOUT, "b")
        batch.delete(SCOUT, "c")
        batch.set(SCOUT, "c", 3)
    assert batch.versions == [1, 0, 1, 0, 2, 2]
    assert dict(state.items(SCOUT)) == {"a": 2, "c": 3}
    assert [change.value for change in state.history(SCOUT, "a")] == [2]


def test_an_exception_in_the_block_drops_everything_for_good(state: StateManager) -> None:
    # A later commit() wrote what had been dropped.
    batch = state.batch()
    with pytest.raises(ZeroDivisionError), batch:
        batch.set(SCOUT, "a", 1)
        raise ZeroDivisionError
    assert (len(batch), state.last_version) == (0, 0)
    assert batch.commit() == 0
    assert state.list_scopes() == []


def test_discard_empties_a_batch_and_does_nothing_to_a_committed_one(state: StateManager) -> None:
    batch = state.batch()
    batch.set(SCOUT, "a", 1, if_version=7)
    batch.discard()
    batch.set(SCOUT, "b", 2)
    assert batch.commit() == 1
    batch.discard()
    assert batch.versions == [1]
    assert state.list_keys(SCOUT) == ["b"]


def test_a_conflict_writes_nothing_names_the_entry_and_leaves_the_batch_as_it_is(state: StateManager) -> None:
    version = state.set(SCOUT, "taken", "theirs")
    batch = state.batch()
    with pytest.raises(errors.Conflict, match="taken") as caught, batch:
        batch.set(SCOUT, "a", 1)
        batch.set(SCOUT, "taken", "mine", if_version=0)
        batch.set(GLOBAL, "b", 1)
    conflict = caught.value
    assert (conflict.current, conflict.current_version, conflict.expected_version) == ("theirs", version, 0)
    assert (state.last_version, batch.versions, len(batch)) == (version, None, 3)
    state.delete(SCOUT, "taken")
    assert batch.commit() == 5, "what it asked for is now true"


def test_the_first_condition_on_a_key_is_the_one_that_counts(state: StateManager) -> None:
    version = state.set(SCOUT, "a", 1)
    with state.batch() as batch:
        batch.set(SCOUT, "a", 2, if_version=version)
        batch.set(SCOUT, "a", 3)
    assert state.get(SCOUT, "a") == 3
    with pytest.raises(errors.Conflict), state.batch() as batch:
        batch.set(SCOUT, "a", 4, if_version=version)
        batch.set(SCOUT, "a", 5)
    with pytest.raises(errors.Conflict), state.batch() as batch:
        batch.set(SCOUT, "a", 4)
        batch.delete(SCOUT, "a", if_version=version)
    now = state.entry(SCOUT, "a").version
    with pytest.raises(errors.Conflict), state.batch() as batch:
        batch.set(SCOUT, "a", 4, if_version=version)
        batch.set(SCOUT, "a", 5, if_version=now)
    with pytest.raises(errors.Conflict), state.batch() as batch:
        batch.delete(SCOUT, "not there", if_version=version)
    assert state.get(SCOUT, "a") == 3


def test_a_committed_batch_takes_no_more(state: StateManager) -> None:
    with state.batch() as batch:
        batch.set(SCOUT, "a", 1)
    for call in (lambda: batch.set(SCOUT, "b", 1), lambda: batch.delete(SCOUT, "a"), batch.commit):
        with pytest.raises(errors.Closed) as caught:
            call()
        assert caught.value.code == "batch.committed"
    with pytest.raises(errors.Closed):
        asyncio.run(batch.acommit())
    assert state.last_version == 1


def test_a_commit_inside_of_the_block_is_enough(state: StateManager) -> None:
    # The end of the block raised Closed (batch.committed) after everything had been written.
    with state.batch() as batch:
        batch.set(SCOUT, "a", 1)
        assert batch.commit() == 1
    assert batch.versions == [1]

    async def run() -> list[int] | None:
        async with state.abatch() as batch:
            batch.set(SCOUT, "b", 1)
            await batch.acommit()
        return batch.versions

    assert asyncio.run(run()) == [2]


def test_an_empty_batch_and_one_of_missing_keys_write_nothing(state: StateManager) -> None:
    with state.batch() as batch:
        pass
    assert batch.versions == []
    with state.batch() as batch:
        batch.delete(SCOUT, "a")
    assert (batch.versions, state.last_version) == ([0], 0)


def test_the_number_of_operations_has_a_limit_that_leaves_the_batch_usable(state: StateManager) -> None:
    batch = state.batch()
    for _ in range(100_000):
        batch.delete(SCOUT, "a")
    with pytest.raises(errors.LimitExceeded) as caught:
        batch.set(SCOUT, "one more", 1)
    assert caught.value.code == "batch.operations"
    assert (len(batch), batch.commit()) == (100_000, 0)


def test_a_batch_larger_than_the_ring_is_one_commit(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", ring_bytes=65536, segment_bytes=65536) as state:
        with state.batch() as batch:
            for index in range(300):
                batch.set(SCOUT, f"{index:03}", b"x" * 1000)
        assert batch.versions == list(range(1, 301))
        assert [change.in_batch for change in state.changes()] == [True] * 299 + [False]
    with sk.open(tmp_path / "s") as state:
        assert len(state.scope(SCOUT)) == 300


def test_a_batch_of_a_closed_store_refuses_at_once(state: StateManager) -> None:
    other = sk.open("memory:")
    batch = other.batch()
    batch.set(SCOUT, "a", 1)
    other.close()
    for call in (lambda: batch.set(SCOUT, "b", 1), lambda: batch.delete(SCOUT, "a"), batch.commit):
        with pytest.raises(errors.Closed) as caught:
            call()
        assert caught.value.code == "store.closed"
    assert (len(batch), batch.versions) == (1, None)


def test_a_batch_takes_a_store_and_shows_what_it_is(state: StateManager) -> None:
    with pytest.raises(TypeError):
        sk.Batch("memory:")  # type: ignore[arg-type]
    batch = state.batch()
    assert repr(batch) == "<Batch of 0 operations, open>"
    batch.set(SCOUT, "a", 1)
    assert repr(batch) == "<Batch of 1 operation, open>"
    batch.commit()
    assert repr(batch) == "<Batch of 1 operation, committed>"
