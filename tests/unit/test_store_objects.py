"""What stores, handles, batches and cursors say of themselves, and what can be done with them as objects."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Batch, ScopeHandle, StateManager, StateScope

SCOUT = StateScope.agent("scout")


def test_every_object_says_what_it_is_also_after_the_end(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    handle = state.scope(SCOUT)
    path = str(tmp_path / "s")
    assert repr(handle) == f"<ScopeHandle agent:scout of {path!r}, 0 keys>"
    state.set(SCOUT, "a", 1)
    assert repr(handle) == f"<ScopeHandle agent:scout of {path!r}, 1 key>"
    assert repr(state) == f"<StateManager {path!r}, interval, version 1>"
    change = state.history(SCOUT, "a")[0]
    assert repr(change) == f"<Change 1: set agent:scout 'a' at {change.at.isoformat()}>"
    state.clear_scope(SCOUT)
    cleared = state.history(SCOUT, "a")[0]
    assert repr(cleared) == f"<Change 2: clear agent:scout at {cleared.at.isoformat()}>"
    assert repr(state.recovery).startswith("Recovery(clean=True, record_count=0")
    assert repr(state.stats()).startswith("Stats(key_count=0")
    assert "Items" in repr(state.items(SCOUT))
    assert "Changes" in repr(state.changes())
    state.close()
    assert repr(state) == f"<StateManager {path!r}, closed>"
    # It raised Closed, in the middle of debuggers and logs.
    assert repr(handle) == f"<ScopeHandle agent:scout of {path!r}, closed>"


def test_nothing_that_is_open_can_be_pickled_or_copied() -> None:
    with sk.open("memory:") as state:
        state.set(SCOUT, "a", 1)
        for thing in (state, state.scope(SCOUT), state.batch(), state.items(SCOUT), state.changes()):
            with pytest.raises(TypeError, match="pickle"):
                pickle.dumps(thing)
            with pytest.raises(TypeError):
                copy.copy(thing)


def test_plain_results_can_be_pickled() -> None:
    with sk.open("memory:") as state:
        state.set(SCOUT, "a", [1])
        for thing in (state.entry(SCOUT, "a"), state.history(SCOUT, "a")[0], state.stats(), state.recovery):
            assert pickle.loads(pickle.dumps(thing)) == thing


def test_completion_finds_calls_and_keys() -> None:
    with sk.open("memory:") as state:
        handle = state.scope(SCOUT)
        handle.update(plan=1, notes=2)
        assert handle._ipython_key_completions_() == ["notes", "plan"]
        assert {"set", "get", "aset", "batch", "history", "scope", "flush"} <= set(dir(state))
        assert {"set", "pop", "setdefault", "aset", "items", "entry"} <= set(dir(handle))


def test_attributes_of_a_store_cannot_be_replaced_by_mistake() -> None:
    with sk.open("memory:") as state:
        for name in ("last_version", "durability", "path", "recovery", "closed"):
            with pytest.raises(AttributeError):
                setattr(state, name, 1)
        made: list[Any] = [Batch, ScopeHandle, StateManager]
        for cls in made:
            with pytest.raises(TypeError):
                cls()


def test_a_store_keeps_its_figures() -> None:
    with sk.open("memory:", ring_bytes=65536) as state:
        state.scope(SCOUT).update(a=1, b=2)
        state.set(StateScope.GLOBAL, "a", 1)
        state.delete(SCOUT, "a")
        state.flush()
        stats = state.stats()
        assert (stats.key_count, stats.scope_count, stats.last_version, stats.durable_version) == (2, 2, 4, 4)
        assert (stats.ring_bytes, stats.repair_count) == (65536, 0)
        assert stats.log_bytes > 0
        assert stats.sync_count >= 1
        assert 0 <= stats.ring_used_bytes <= stats.ring_bytes
        assert stats.held_version is None


def test_history_and_changes_take_no_negative_numbers() -> None:
    with sk.open("memory:") as state:
        state.set(SCOUT, "a", 1)
        assert state.history(SCOUT, "a", limit=0) == []
        assert list(state.changes(since=99)) == []
        for call in (lambda: state.history(SCOUT, "a", limit=-1), lambda: state.changes(since=-1)):
            with pytest.raises((OverflowError, ValueError)):
                call()


def test_changes_go_on_after_the_end_with_what_was_committed_since() -> None:
    with sk.open("memory:") as state:
        changes = state.changes()
        assert list(changes) == []
        state.set(SCOUT, "a", 1)
        state.set(SCOUT, "a", 2)
        assert [change.value for change in changes] == [1, 2]
        assert list(changes) == []
        state.delete(SCOUT, "a")
        assert [(change.operation, change.value) for change in changes] == [("delete", None)]


def test_a_store_that_keeps_its_own_handle_is_collected(tmp_path: Path) -> None:
    """The collector did not see the store behind a handle, so such a pair stayed open until the process ended."""
    state: Any = sk.open(tmp_path / "s")
    state.scout = state.scope(SCOUT)
    state.scout["a"] = 1
    gone = weakref.ref(state)
    del state
    gc.collect()
    assert gone() is None
    with sk.open(tmp_path / "s") as again:
        assert again.recovery.clean
        assert again.get(SCOUT, "a") == 1
