"""Read views: many reads of one moment."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
OTHER = StateScope.user("ada")


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:", view_budget_bytes=65536) as opened:
        yield opened


def test_a_view_shows_its_moment_whatever_is_written_after(state: StateManager) -> None:
    state.set(SCOUT, "changed", 1)
    state.set(SCOUT, "deleted", 2)
    state.set(OTHER, "cleared", 3)
    with state.read_view() as view:
        state.set(SCOUT, "changed", "new")
        state.delete(SCOUT, "deleted")
        state.set(SCOUT, "added", 4)
        state.clear_scope(OTHER)
        state.set(StateScope.GLOBAL, "new scope", 5)
        assert view.version == 3
        assert (view.get(SCOUT, "changed"), view.get(SCOUT, "deleted"), view.get(OTHER, "cleared")) == (1, 2, 3)
        assert view.get(SCOUT, "added", "absent") == "absent"
        assert (view.exists(SCOUT, "deleted"), view.exists(SCOUT, "added")) == (True, False)
        assert view.list_keys(SCOUT) == ["changed", "deleted"]
        assert view.list_keys(SCOUT, "ch") == ["changed"]
        assert [*view.items(SCOUT)] == [("changed", 1), ("deleted", 2)]
        assert view.list_scopes() == [OTHER, SCOUT]
        entry = view.entry(SCOUT, "changed")
        assert (entry.value, entry.version) == (1, 1)
        with pytest.raises(errors.KeyMissing):
            view.entry(SCOUT, "added")
        with pytest.raises(errors.InvalidKey):
            view.get(SCOUT, "")
    assert state.list_keys(SCOUT) == ["added", "changed"]


def test_a_batch_is_seen_whole_or_not_at_all(state: StateManager) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with state.batch() as batch:
                batch.set(SCOUT, "left", number)
                batch.set(OTHER, "right", number)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            with state.read_view() as view:
                assert view.get(SCOUT, "left") == view.get(OTHER, "right")
    finally:
        stop.set()
        thread.join()


def test_what_expires_after_the_view_was_taken_stays_in_it(state: StateManager) -> None:
    state.set(SCOUT, "over", 1, ttl_s=1e-6)
    for ttl_s in (0.2, 2.0, 20.0):
        state.set(SCOUT, "soon", 2, ttl_s=ttl_s)
        time.sleep(0.001)
        view = state.read_view()
        # Else the machine was away for so long, and the view was too late.
        if state.exists(SCOUT, "soon"):
            break
    with view:
        version = state.last_version
        while state.exists(SCOUT, "soon") or state.history(SCOUT, "soon")[0].operation != "expire":
            time.sleep(0.005)
        assert state.last_version >= version
        assert [*view.items(SCOUT)] == [("soon", 2)]
        assert view.entry(SCOUT, "soon").expires_at is not None


def test_a_scope_of_a_view_is_a_read_only_mapping(state: StateManager) -> None:
    state.scope(SCOUT).update({"b": 2, "a": 1})
    view = state.read_view()
    scout = view.scope(SCOUT)
    state.scope(SCOUT).clear()
    assert dict(scout) == {"a": 1, "b": 2}
    assert (len(scout), [*scout], [*scout.keys()], [*scout.values()]) == (2, ["a", "b"], ["a", "b"], [1, 2])
    assert [*scout.items()] == [*scout.iter_items()] == [("a", 1), ("b", 2)]
    assert ("a", 1) in scout.items()
    assert ("a", 2) not in scout.items()
    assert (7, 2) not in scout.items()
    assert "a" in scout
    assert "c" not in scout
    assert 7 not in scout
    assert scout["a"] == scout.get("a") == scout.entry("a").value == 1
    assert (scout.get("c"), scout.list_keys("b"), scout == {"a": 1, "b": 2}) == (None, ["b"], True)
    assert (scout.scope, scout.view) == (SCOUT, view)
    with pytest.raises(KeyError):
        scout["c"]
    with pytest.raises(TypeError):
        scout["a"] = 2  # type: ignore[index]
    assert repr(scout) == "<ScopeView agent:scout of version 2, 2 keys>"
    view.close()
    assert repr(scout) == "<ScopeView agent:scout of version 2, ended>"
    with pytest.raises(errors.ViewEnded):
        len(scout)


def reads(view: sk.ReadView) -> list[Any]:
    return [
        lambda: view.get(SCOUT, "a"),
        lambda: view.entry(SCOUT, "a"),
        lambda: view.exists(SCOUT, "a"),
        lambda: view.list_keys(SCOUT),
        lambda: view.items(SCOUT),
        lambda: view.list_scopes(),
        lambda: view.scope(SCOUT)["a"],
        lambda: "a" in view.scope(SCOUT),
        view.__enter__,
    ]


def assert_ended(view: sk.ReadView, why: str) -> None:
    assert view.ended
    assert repr(view) == f"<ReadView of version {view.version}, ended>"
    for read in reads(view):
        with pytest.raises(errors.ViewEnded, match=why) as caught:
            read()
        assert caught.value.code == "view.ended"


def test_a_closed_view_shows_nothing(state: StateManager) -> None:
    state.set(SCOUT, "a", 1)
    view = state.read_view()
    items = view.items(SCOUT)
    assert (view.ended, repr(view)) == (False, "<ReadView of version 1>")
    with view:
        pass
    view.close()
    assert_ended(view, "closed; take another")
    assert [*items] == [("a", 1)]


def test_the_oldest_view_ends_when_too_much_would_have_to_be_kept(state: StateManager) -> None:
    for number in range(4):
        state.set(SCOUT, f"{number}", bytes(20_000))
    oldest = state.read_view()
    state.set(SCOUT, "0", 0)
    newer = state.read_view()
    assert state.stats().view_count == 2
    assert 20_000 <= state.stats().view_bytes <= 21_000
    for number in range(1, 4):
        state.set(SCOUT, f"{number}", 0)
    assert_ended(oldest, "raise view_budget_bytes")
    assert [len(value) for _, value in newer.items(SCOUT, "3")] == [20_000]
    assert state.stats().view_count == 1
    del oldest, newer
    gc.collect()
    assert (state.stats().view_count, state.stats().view_bytes) == (0, 0)


def test_a_view_ends_with_its_age(state: StateManager) -> None:
    view = state.read_view(max_age_s=0.02)
    time.sleep(0.02)
    assert_ended(view, "max_age_s")


def test_a_view_ends_with_its_store_and_does_not_keep_it_open(tmp_path: Path) -> None:
    state = sk.open(tmp_path)
    state.set(SCOUT, "a", 1)
    closed = state.read_view()
    state.close()
    assert_ended(closed, "the store was closed")
    with pytest.raises(errors.Closed):
        state.read_view()
    state = sk.open(tmp_path)
    kept = state.read_view()
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None
    assert_ended(kept, "the store was closed")
    with sk.open(tmp_path) as state:
        assert state.get(SCOUT, "a") == 1


def test_a_view_that_was_forgotten_leaves_nothing_behind(state: StateManager) -> None:
    state.set(SCOUT, "a", bytes(1000))
    for _ in range(50):
        view = state.read_view()
        state.set(SCOUT, "a", bytes(1000))
        assert view.get(SCOUT, "a") == bytes(1000)
    del view
    gc.collect()
    assert (state.stats().view_count, state.stats().view_bytes) == (0, 0)


def test_more_views_than_the_limit_are_refused(state: StateManager) -> None:
    views = [state.read_view() for _ in range(1024)]
    with pytest.raises(errors.LimitExceeded) as caught:
        state.read_view()
    assert caught.value.code == "view.count"
    views.pop().close()
    state.read_view().close()


@pytest.mark.parametrize("max_age_s", [0, -1, float("nan"), float("inf"), 3_155_760_001])
def test_an_age_beyond_its_limit_is_refused(max_age_s: float, state: StateManager) -> None:
    with pytest.raises(errors.LimitExceeded) as caught:
        state.read_view(max_age_s=max_age_s)
    assert caught.value.code == "view.max_age"
    with pytest.raises(TypeError, match="max_age_s"):
        state.read_view(max_age_s="1")  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [-1, 0, 65535, (1 << 40) + 1, 1 << 80])
def test_a_budget_out_of_range_is_refused(budget: int) -> None:
    with pytest.raises(errors.LimitExceeded, match="view_budget_bytes") as caught:
        sk.open("memory:", view_budget_bytes=budget)
    assert caught.value.code == "store.option"
    sk.open("memory:", view_budget_bytes=1 << 40).close()


def test_the_async_twins_read_the_same_moment(state: StateManager) -> None:
    async def main() -> None:
        await state.aset(SCOUT, "a", 1)
        async with state.aread_view(max_age_s=60) as view:
            await state.aset(SCOUT, "a", 2)
            assert await view.aget(SCOUT, "a") == 1
            assert (await view.aentry(SCOUT, "a")).value == 1
            assert await view.aexists(SCOUT, "a")
            assert await view.alist_keys(SCOUT) == ["a"]
            assert [item async for item in view.aitems(SCOUT)] == [("a", 1)]
            assert await view.alist_scopes() == [SCOUT]
        assert view.ended

    asyncio.run(main())


def test_a_view_cannot_be_pickled(state: StateManager) -> None:
    with pytest.raises(TypeError, match="take another"):
        pickle.dumps(state.read_view())
