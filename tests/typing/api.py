"""The public types, as a type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, ItemsView, Iterator, KeysView, Mapping, MutableMapping, Sequence, ValuesView
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import spellkeep as sk
from spellkeep import (
    Batch,
    Change,
    Correlation,
    DictView,
    Entry,
    Events,
    Limits,
    ReadView,
    Recovery,
    ScopeHandle,
    ScopeView,
    SequenceView,
    StateClass,
    StateManager,
    StateScope,
    Stats,
    correlate,
    current_correlation,
    errors,
)
from spellkeep.changes import Operation
from spellkeep.scope import ScopeKind
from spellkeep.store import Durability

# scope
assert_type(StateScope.GLOBAL, StateScope)
assert_type(StateScope.user("ada"), StateScope)
assert_type(StateScope.session("s-1"), StateScope)
assert_type(StateScope.agent("scout"), StateScope)
assert_type(StateScope.tool("search"), StateScope)
assert_type(StateScope.workflow("wf"), StateScope)
assert_type(StateScope.step("wf", "s1"), StateScope)
assert_type(StateScope.custom("team"), StateScope)
assert_type(StateScope.parse("agent:scout"), StateScope)
assert_type(
    StateScope.GLOBAL.kind,
    Literal["global", "user", "session", "agent", "tool", "workflow", "step", "custom"],
)
assert_type(StateScope.GLOBAL.ids, tuple[str, ...])
assert_type(sorted([StateScope.GLOBAL, StateScope.agent("a")]), list[StateScope])
assert_type({StateScope.GLOBAL: 1}, dict[StateScope, int])
kind: ScopeKind = StateScope.agent("a").kind

# Each of these is a mistake that the checker must find; an unused ignore is an error too.
StateScope.agent(7)  # type: ignore[arg-type]
StateScope.step("wf")  # type: ignore[call-arg]
_ = StateScope.GLOBAL < "global"  # type: ignore[operator]
StateScope.GLOBAL.ids = ()  # type: ignore[misc]


def reads_errors(error: errors.StateError) -> str:
    """Every error has a code and a detail, and the class narrows to more."""
    assert_type(error.code, str)
    assert_type(error.detail, str)
    if isinstance(error, errors.Conflict):
        assert_type(error.expected_version, int)
        assert_type(error.current_version, int)
    if isinstance(error, errors.Corrupted):
        assert_type(error.file, str | None)
        assert_type(error.offset, int | None)
        assert_type(error.last_good_version, int | None)
    if isinstance(error, errors.LimitExceeded | errors.NotSerializable):
        assert_type(error.path, str | None)
    return error.code


def catches_builtins(error: errors.InvalidKey | errors.LimitExceeded) -> ValueError:
    """The builtin base is visible to the checker."""
    return error


def catches_os_errors(error: errors.StorageFailed) -> OSError:
    """The builtin base is visible to the checker."""
    return error


# store: opening
SCOUT = StateScope.agent("scout")
word: Durability = "sync"
assert_type(sk.open("memory:"), StateManager)
assert_type(sk.open(Path("state")), StateManager)
assert_type(
    sk.open(
        "state",
        durability=word,
        interval_ms=5,
        limits=Limits(depth_max=8),
        ring_bytes=1 << 20,
        segment_bytes=1 << 20,
        mapped_ring=None,
        view_budget_bytes=1 << 20,
    ),
    StateManager,
)
assert_type(sk.open("state", read_only=True).read_only, bool)
assert_type(sk.open("state", allow_replay=True), StateManager)
assert_type(sk.verify("state"), sk.VerifyReport)
assert_type(sk.open("state").verify().ok, bool)
assert_type(sk.salvage("state", Path("new")), sk.SalvageReport)
assert_type(sk.open("state", read_only=True, allow_damage=True).damages, tuple[sk.Damage, ...])
assert_type(sk.verify(Path("state")).damages, tuple[sk.Damage, ...])
sk.open(b"state")  # type: ignore[arg-type]
sk.open(None)  # type: ignore[arg-type]
sk.open("state", "sync")  # type: ignore[call-arg]
sk.open("state", durability="always")  # type: ignore[arg-type]
sk.open("state", durability=True)  # type: ignore[arg-type]
sk.open("state", interval_ms=0.5)  # type: ignore[arg-type]
sk.open("state", limits={"depth_max": 8})  # type: ignore[arg-type]
sk.open("state", sync=True)  # type: ignore[call-arg]
open_by_path: os.PathLike[str] = Path("state")
sk.open(open_by_path)


def uses_a_store(state: StateManager) -> None:
    """Every call of the store."""
    with state as entered:
        assert_type(entered, StateManager)
    assert_type(state.path, str)
    assert_type(state.durability, Literal["process", "interval", "sync"])
    assert_type(state.closed, bool)
    assert_type(state.forked, bool)
    assert_type(state.last_version, int)
    assert_type(state.durable_version, int)
    assert_type(state.recovery, Recovery)
    assert_type(state.recovery.cut_reason, str | None)
    assert_type(state.recovery.clean, bool)
    assert_type(state.stats(), Stats)
    assert_type(state.stats().key_count, int)
    assert_type(state.set(SCOUT, "k", {"any": object()}), int)
    assert_type(state.set(SCOUT, "k", 1, if_version=0, ttl_s=1.5, state_class=StateClass.TRUSTED), int)
    assert_type(state.set(SCOUT, "k", 1, ttl_s=60), int)
    assert_type(state.delete(SCOUT, "k"), int)
    assert_type(state.delete(SCOUT, "k", if_version=None), int)
    assert_type(state.exists(SCOUT, "k"), bool)
    assert_type(state.list_keys(SCOUT), list[str])
    assert_type(state.list_keys(SCOUT, prefix="a"), list[str])
    assert_type(list(state.items(SCOUT, "a")), list[tuple[str, Any]])
    assert_type(state.clear_scope(SCOUT), int)
    assert_type(state.list_scopes(), list[StateScope])
    assert_type(state.scope(SCOUT), ScopeHandle)
    assert_type(state.scope(SCOUT, state_class=StateClass.STANDARD), ScopeHandle)
    assert_type(state.entry(SCOUT, "k"), Entry)
    assert_type(state.history(SCOUT, "k", limit=3), list[Change])
    assert_type(list(state.changes(since=3)), list[Change])
    assert_type(state.flush(), int)
    assert_type(state.checkpoint(), int)
    assert_type(state.batch(), Batch)
    assert_type(state.abatch(), Batch)
    state.close()

    # A value may be anything, and its reader says what it is.
    number: int = state.get(SCOUT, "k", 0)
    text: str = state.get(SCOUT, "k")
    print(number, text)

    state.set("agent:scout", "k", 1)  # type: ignore[arg-type]
    state.set(SCOUT, b"k", 1)  # type: ignore[arg-type]
    state.set(SCOUT, "k")  # type: ignore[call-arg]
    state.set(SCOUT, "k", 1, 3)  # type: ignore[call-arg]
    state.set(SCOUT, "k", 1, if_version="3")  # type: ignore[arg-type]
    state.set(SCOUT, "k", 1, ttl_s="1")  # type: ignore[arg-type]
    state.set(SCOUT, "k", 1, expected=3)  # type: ignore[call-arg]
    state.set(SCOUT, "k", 1, state_class="trusted")  # type: ignore[arg-type]
    state.get(SCOUT)  # type: ignore[call-arg]
    state.history(SCOUT, "k", 3)  # type: ignore[call-arg]
    state.changes(3)  # type: ignore[call-arg]
    state.scope("scout")  # type: ignore[arg-type]
    state.last_version = 3  # type: ignore[misc]
    state.durability = "sync"  # type: ignore[misc]
    state.recovery.clean = True  # type: ignore[misc]
    state["k"]  # type: ignore[index]


def uses_entries_and_changes(entry: Entry, change: Change) -> None:
    """What reading gives."""
    assert_type(entry.version, int)
    assert_type(entry.updated_at, datetime)
    assert_type(entry.expires_at, datetime | None)
    assert_type(entry.state_class, StateClass)
    _, version, _, _, _ = entry
    assert_type(version, int)
    assert_type(change.version, int)
    assert_type(change.at, datetime)
    assert_type(change.operation, Literal["set", "delete", "clear", "expire", "event"])
    assert_type(change.expires_at, datetime | None)
    assert_type(change.scope, StateScope)
    assert_type(change.key, str | None)
    assert_type(change.in_batch, bool)
    assert_type(change.correlation, str | None)
    assert_type(change.actor, str | None)
    assert_type(change.tags, tuple[str, ...])
    assert_type(change.cause, int | None)
    operation: Operation = change.operation
    print(operation)

    change.key.upper()  # type: ignore[union-attr]
    change.version = 2  # type: ignore[misc]
    entry.version = 2  # type: ignore[misc]
    print(change.operation == "update")  # type: ignore[comparison-overlap]


def uses_correlation_and_events(state: StateManager) -> None:
    """Saying where records come from, and what happens."""
    with correlate("req-42", actor="anna", tags=["a"], cause=3) as now:
        assert_type(now, Correlation)
        assert_type(now.id, str | None)
        assert_type(now.tags, tuple[str, ...])
    assert_type(current_correlation(), Correlation | None)
    assert_type(state.events, Events)
    assert_type(state.events.emit("made", {"a": 1}, scope=SCOUT, cause=1), int)
    with state.events.span("called") as version:
        assert_type(version, int)

    correlate(7)  # type: ignore[arg-type]
    now.id = "other"  # type: ignore[misc]


def uses_a_batch(state: StateManager) -> None:
    """Every call of a batch."""
    with state.batch() as batch:
        assert_type(batch, Batch)
        batch.set(SCOUT, "k", 1)
        batch.set(SCOUT, "k", 1, if_version=0, ttl_s=60, state_class=StateClass.TRUSTED)
        batch.delete(SCOUT, "k", if_version=3)
        batch.discard()
        assert_type(len(batch), int)
    assert_type(batch.versions, list[int] | None)
    assert_type(batch.commit(), int)

    version: int = batch.set(SCOUT, "k", 1)  # type: ignore[func-returns-value, assignment]
    batch.set("k", 1)  # type: ignore[call-arg, arg-type]
    batch.versions[0]  # type: ignore[index]
    print(version)


def uses_a_handle(handle: ScopeHandle) -> None:
    """A handle is a mutable mapping from str, and more."""
    mapping: MutableMapping[str, Any] = handle
    assert_type(handle.store, StateManager)
    assert_type(handle.scope, StateScope)
    assert_type(handle.state_class, StateClass)
    assert_type(handle.set("k", 1, if_version=0, ttl_s=60, state_class=StateClass.TRUSTED), int)
    assert_type(handle.delete("k", if_version=1), int)
    assert_type(handle.exists("k"), bool)
    assert_type(handle.entry("k"), Entry)
    assert_type(handle.history("k"), list[Change])
    assert_type(handle.list_keys("a"), list[str])
    assert_type(list(handle.iter_items("a")), list[tuple[str, Any]])
    assert_type(handle.keys(), KeysView[str])
    assert_type(handle.values(), ValuesView[Any])
    assert_type(handle.items(), ItemsView[str, Any])
    assert_type(iter(handle), Iterator[str])
    assert_type(len(handle), int)
    assert_type("k" in handle, bool)
    assert_type(handle.popitem(), tuple[str, Any])
    handle["k"] = mapping.pop("k", None)
    handle.update({"k": 1}, other=2)
    handle.setdefault("k", 1)
    handle.clear()
    del handle["k"]

    handle[7]  # type: ignore[index]
    handle[7] = 1  # type: ignore[index]
    handle.set("k")  # type: ignore[call-arg]
    handle.get(SCOUT, "k", 1)  # type: ignore[call-arg, arg-type]
    handle.scope = SCOUT  # type: ignore[misc]
    handle.state_class = StateClass.TRUSTED  # type: ignore[misc]


def uses_views(state: StateManager, handle: ScopeHandle, seen: DictView, items: SequenceView) -> None:
    """A view may be one of two, or a plain value, and its reader says which."""
    chat: DictView = state.view(SCOUT, "k")
    messages: SequenceView = handle.view("k")
    print(chat["messages"][3]["content"], messages)
    mapping: Mapping[Any, Any] = seen
    assert_type(mapping.get("k"), Any | None)
    assert_type(seen.to_python(), dict[Any, Any])
    assert_type(seen.keys(), KeysView[Any])
    assert_type(seen.items(), ItemsView[Any, Any])
    assert_type("k" in seen, bool)
    assert_type(len(seen), int)
    sequence: Sequence[Any] = items
    assert_type(sequence.index(1), int)
    assert_type(items[1:3], Sequence[Any])
    assert_type(items.to_python(), list[Any] | tuple[Any, ...])

    seen["k"] = 1  # type: ignore[index]
    items[0] = 1  # type: ignore[index]
    del seen["k"]  # type: ignore[attr-defined]
    items.append(1)  # type: ignore[attr-defined]
    items["k"]  # type: ignore[call-overload]
    state.view(SCOUT)  # type: ignore[call-arg]
    state.view(SCOUT, "k", None)  # type: ignore[call-arg]


def uses_a_read_view(state: StateManager) -> None:
    """A view reads as the store does, and writes nothing."""
    with state.read_view(max_age_s=60) as view:
        assert_type(view, ReadView)
        assert_type(view.version, int)
        assert_type(view.ended, bool)
        assert_type(view.exists(SCOUT, "k"), bool)
        assert_type(view.entry(SCOUT, "k"), Entry)
        assert_type(view.list_keys(SCOUT, "a"), list[str])
        assert_type(list(view.items(SCOUT)), list[tuple[str, Any]])
        assert_type(view.list_scopes(), list[StateScope])
        scope = view.scope(SCOUT)
        assert_type(scope, ScopeView)
        mapping: Mapping[str, Any] = scope
        assert_type(scope.items(), ItemsView[str, Any])
        assert_type(scope.values(), ValuesView[Any])
        assert_type(scope.entry("k"), Entry)
        print(mapping)
        view.close()

    scope["k"] = 1  # type: ignore[index]
    view.set(SCOUT, "k", 1)  # type: ignore[attr-defined]
    view.version = 3  # type: ignore[misc]
    state.read_view(60)  # type: ignore[call-arg]
    state.read_view(max_age_s="60")  # type: ignore[arg-type]


async def uses_the_twins(state: StateManager, handle: ScopeHandle) -> None:
    """What is awaited is what the sync call returns."""
    async with state as entered:
        assert_type(entered, StateManager)
    assert_type(await state.aset(SCOUT, "k", 1, if_version=0, ttl_s=60, state_class=StateClass.TRUSTED), int)
    assert_type(await state.adelete(SCOUT, "k"), int)
    assert_type(await state.aexists(SCOUT, "k"), bool)
    assert_type(await state.aentry(SCOUT, "k"), Entry)
    assert_type(await state.aview(SCOUT, "k"), Any)
    assert_type(await handle.aview("k"), Any)
    assert_type(await state.alist_keys(SCOUT), list[str])
    assert_type(state.aitems(SCOUT), AsyncIterator[tuple[str, Any]])
    assert_type(await state.aclear_scope(SCOUT), int)
    assert_type(await state.alist_scopes(), list[StateScope])
    assert_type(await state.ahistory(SCOUT, "k", limit=2), list[Change])
    assert_type(state.achanges(since=2), AsyncIterator[Change])
    assert_type(await state.aflush(), int)
    assert_type(await state.acheckpoint(), int)
    assert_type(await state.astats(), Stats)
    async with state.abatch() as batch:
        assert_type(batch, Batch)
    assert_type(await batch.acommit(), int)
    async with state.aread_view() as view:
        assert_type(view, ReadView)
        assert_type(await view.aexists(SCOUT, "k"), bool)
        assert_type(await view.aentry(SCOUT, "k"), Entry)
        assert_type(await view.alist_keys(SCOUT), list[str])
        assert_type(await view.alist_scopes(), list[StateScope])
        assert_type(view.aitems(SCOUT), AsyncIterator[tuple[str, Any]])
    assert_type(await handle.aset("k", 1, ttl_s=60, state_class=StateClass.TRUSTED), int)
    assert_type(await handle.adelete("k"), int)
    assert_type(await handle.aexists("k"), bool)
    assert_type(await handle.aentry("k"), Entry)
    assert_type(await handle.alist_keys(), list[str])
    assert_type(handle.aiter_items(), AsyncIterator[tuple[str, Any]])
    assert_type(await handle.ahistory("k"), list[Change])
    assert_type(await handle.apopitem(), tuple[str, Any])
    await handle.apop("k", None)
    await handle.asetdefault("k", 1)
    await handle.aupdate({"k": 1}, other=2)
    await handle.aclear()
    await state.aclose()

    # The wait that was forgotten, and the loop that is none.
    version: int = state.aset(SCOUT, "k", 1)  # type: ignore[assignment]
    for item in state.aitems(SCOUT):  # type: ignore[attr-defined]
        print(item, version)
    await state.set(SCOUT, "k", 1)  # type: ignore[misc]


# Every reason to try again, to fix the call or to stop can be caught by its class.
with contextlib.suppress(errors.Conflict, errors.StoreLocked, errors.ViewEnded):
    pass
with contextlib.suppress(errors.Closed, errors.Poisoned, errors.Forked, errors.Corrupted, errors.StorageFailed):
    pass


def changed_items() -> None:
    from spellkeep.value import changed

    assert_type(changed([1], [2.0], sole=True), list[int])
