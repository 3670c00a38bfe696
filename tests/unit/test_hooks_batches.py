"""Hooks after batches: once for each, with all that it changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope
from spellkeep.breaker import BreakerOptions

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL
PATIENT = BreakerOptions(window_count=1000, samples_min=1000)


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def write(state: StateManager, count: int, begin: int = 0) -> int:
    with state.batch() as batch:
        for number in range(begin, begin + count):
            batch.set(GLOBAL, f"k{number}", number)
    return state.last_version


def test_a_batch_comes_once_and_whole_also_when_it_is_longer_than_what_is_read_at_once(state: StateManager) -> None:
    lists, single = list[list[int]](), list[int]()
    state.hooks.after("set", name="single")(lambda change: single.append(change.value))
    state.hooks.after("batch", name="lists")(lambda changes: lists.append([change.value for change in changes]))
    state.set(GLOBAL, "alone", -1)
    sizes = (2, 1000, 30, 5000, 3)
    ends = [write(state, size) for size in sizes]
    state.set(GLOBAL, "alone", -1)
    assert state.hooks.drain(60)
    assert lists == [list(range(size)) for size in sizes]
    assert single == [-1, *(number for size in sizes for number in range(size)), -1]
    assert [row.version for row in state.hooks.history("lists")][::-1] == ends


def test_a_batch_is_for_a_hook_if_one_of_its_changes_is(state: StateManager) -> None:
    lists = list[list[tuple[str, str | None]]]()

    @state.hooks.after("batch", scope="agent:*", key="plan/*")
    def plans(changes: list[Change]) -> None:
        lists.append([(change.operation, change.key) for change in changes])

    state.set(SCOUT, "plan/a", 1)
    write(state, 3)
    with state.batch() as batch:
        batch.set(GLOBAL, "other", 1)
        batch.delete(SCOUT, "plan/a")
    # One record cannot be told from a single write.
    with state.batch() as batch:
        batch.set(SCOUT, "plan/a", 1)
    assert state.hooks.drain(60)
    assert lists == [[("set", "other"), ("delete", "plan/a")]]


def test_one_that_fails_comes_again_whole_and_what_is_written_is_caused_by_its_end(state: StateManager) -> None:
    seen = list[int]()

    @state.hooks.after("batch", breaker=PATIENT)
    def flaky(changes: list[Change]) -> None:
        seen.append(len(changes))
        if len(seen) < 3:
            raise OSError
        state.set(SCOUT, "copied", len(changes))

    version = write(state, 2000)
    assert state.hooks.drain(60)
    assert seen == [2000] * 3
    copied = state.history(SCOUT, "copied")[-1]
    assert (copied.cause, copied.tags) == (version, ("hook-depth:1",))


def test_batches_that_hooks_make_of_batches_end(state: StateManager) -> None:
    seen = list[int]()

    @state.hooks.after("batch")
    def again(changes: list[Change]) -> None:
        seen.append(len(changes))
        write(state, 2)

    write(state, 2)
    until = time.monotonic() + 60
    while not state.hooks.stats()[0].too_deep_count and time.monotonic() < until:
        time.sleep(0.01)
    assert state.hooks.drain(60)
    assert seen == [2] * 8
    assert state.hooks.stats()[0].too_deep_count == 1


def test_it_may_be_async() -> None:
    async def main() -> None:
        async with sk.open("memory:") as state:
            lists = list[int]()

            @state.hooks.after("batch")
            async def look(changes: list[Change]) -> None:
                await asyncio.sleep(0)
                lists.append(len(changes))

            for size in (2, 1500, 3):
                write(state, size)
            assert await state.hooks.adrain(60)
            assert lists == [2, 1500, 3]

    asyncio.run(main())


def test_a_hook_for_batches_is_for_nothing_else_afterwards(state: StateManager) -> None:
    for how in ({"name": "a"}, {"name": "b", "batch": True}):
        points = ("batch", "set") if how["name"] == "a" else ("batch",)
        with pytest.raises(ValueError, match="each as a list"):
            state.hooks.after(*points, **how)(lambda changes: None)  # type: ignore[arg-type]
