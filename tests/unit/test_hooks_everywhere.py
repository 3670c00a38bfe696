"""No way of writing goes past the hooks: every call of the store is listed here, and each that writes is tried."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Batch, Change, ScopeHandle, StateManager, StateScope, _core
from spellkeep.agent import Agent, Retention
from spellkeep.hooks import HookContext

SCOUT = StateScope.custom("scout")


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        handle = opened.scope(SCOUT)
        for key in "abc":
            handle[key] = key
        yield opened


def in_batch(state: StateManager, *calls: Callable[[Batch], Any]) -> None:
    with state.batch() as batch:
        for call in calls:
            call(batch)


async def in_abatch(state: StateManager) -> None:
    async with state.abatch() as batch:
        batch.set(SCOUT, "a", 1)
        batch.delete(SCOUT, "b")


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


Recipes = dict[str, Callable[[StateManager], Any]]
STORE: Recipes = {
    "set": lambda state: state.set(SCOUT, "a", 1),
    "aset": lambda state: run(state.aset(SCOUT, "a", 1)),
    "_set_unacknowledged": lambda state: state._set_unacknowledged(SCOUT, "new", 1),
    "delete": lambda state: state.delete(SCOUT, "a"),
    "adelete": lambda state: run(state.adelete(SCOUT, "a")),
    "_delete_unacknowledged": lambda state: state._delete_unacknowledged(SCOUT, "a"),
    "clear_scope": lambda state: state.clear_scope(SCOUT),
    "aclear_scope": lambda state: run(state.aclear_scope(SCOUT)),
    "_clear": lambda state: state._clear(SCOUT),
    "batch": lambda state: in_batch(state, lambda b: b.set(SCOUT, "a", 1), lambda b: b.delete(SCOUT, "b")),
    "abatch": lambda state: run(in_abatch(state)),
    "save_agent_state": lambda state: state.save_agent_state("scout", {"messages": [{"x": 1}], "city": "Lyon"}),
    "asave_agent_state": lambda state: run(state.asave_agent_state("scout", {"city": "Lyon"})),
    "delete_agent_state": lambda state: [
        state.agent("scout").messages.add("user", "x"),
        state.delete_agent_state("scout"),
    ],
    "adelete_agent_state": lambda state: [
        state.agent("scout").messages.add("user", "x"),
        run(state.adelete_agent_state("scout")),
    ],
}
STORE_READS = [
    # Sessions keep their own in custom:spellkeep.sessions; tests/unit/test_sessions.py.
    *("atimeline", "awhy", "replay", "timeline", "why", "session", "asession", "sessions", "asessions"),
    # They write where no hook runs.
    *("_begin_replays", "_end_replays"),
    "acheckpoint",
    "aentry",
    "aexists",
    "aflush",
    "aget",
    "agent",
    "timeline",
    "atimeline",
    "why",
    "awhy",
    "aagent",
    "aitems",
    "alist_keys",
    "alist_saved_agents",
    "alist_scopes",
    "aload_agent_state",
    "aclose",
    "achanges",
    "ahistory",
    "aread_view",
    "astats",
    "averify",
    "aview",
    "changes",
    "checkpoint",
    "close",
    "closed",
    "damages",
    "events",
    "durability",
    "durable_version",
    "entry",
    "exists",
    "flush",
    "forked",
    "get",
    "history",
    "hooks",
    "items",
    "last_version",
    "list_keys",
    "list_saved_agents",
    "list_scopes",
    "load_agent_state",
    "path",
    "read_only",
    "read_view",
    "recovery",
    "scope",
    "stats",
    "verify",
    "view",
    "_acknowledge",
    "_acknowledged",
    "_add_waker",
    "_changes_cursor",
    "_check_open",
    "_check_poison",
    "_check_writable",
    "_damage_rows",
    "_history_rows",
    "_hold_log",
    "_wait_changes",
    "_recovery_dict",
    "_request_sync",
    "_stats_dict",
    "_use_hooks",
    "_verified_dict",
    "_hooks",
    "_path",
    "_agents",
    "_agent_made",
]

HANDLE: Recipes = {
    "set": lambda state: state.scope(SCOUT).set("a", 1),
    "aset": lambda state: run(state.scope(SCOUT).aset("a", 1)),
    "_set_unacknowledged": lambda state: state.scope(SCOUT)._set_unacknowledged("a", 1),
    "__setitem__": lambda state: state.scope(SCOUT).__setitem__("a", 1),
    "__delitem__": lambda state: state.scope(SCOUT).__delitem__("a"),
    "delete": lambda state: state.scope(SCOUT).delete("a"),
    "adelete": lambda state: run(state.scope(SCOUT).adelete("a")),
    "_delete_unacknowledged": lambda state: state.scope(SCOUT)._delete_unacknowledged("a"),
    "pop": lambda state: state.scope(SCOUT).pop("a"),
    "apop": lambda state: run(state.scope(SCOUT).apop("a")),
    "_take": lambda state: state.scope(SCOUT)._take("a", state.scope(SCOUT).delete),
    "popitem": lambda state: state.scope(SCOUT).popitem(),
    "apopitem": lambda state: run(state.scope(SCOUT).apopitem()),
    "_take_first": lambda state: state.scope(SCOUT)._take_first(state.scope(SCOUT).delete),
    "setdefault": lambda state: state.scope(SCOUT).setdefault("new", 1),
    "asetdefault": lambda state: run(state.scope(SCOUT).asetdefault("new", 1)),
    "_settled": lambda state: state.scope(SCOUT)._settled("new", 1, state.scope(SCOUT).set),
    "update": lambda state: state.scope(SCOUT).update(a=1, new=2),
    "aupdate": lambda state: run(state.scope(SCOUT).aupdate(a=1, new=2)),
    "_batch_of": lambda state: state.scope(SCOUT)._batch_of({"a": 1}, {}).commit(),
    "clear": lambda state: state.scope(SCOUT).clear(),
    "aclear": lambda state: run(state.scope(SCOUT).aclear()),
    "_add_numbered": lambda state: state.scope(SCOUT)._add_numbered("m/", 0, "x"),
    "_replace": lambda state: [state.scope(SCOUT)._replace(key, 1) for key in ("a", "new")],
}
HANDLE_READS = [
    "aentry",
    "aexists",
    "aget",
    "ahistory",
    "aiter_items",
    "alist_keys",
    "aversion",
    "aview",
    "entry",
    "exists",
    "get",
    "history",
    "items",
    "iter_items",
    "keys",
    "list_keys",
    "scope",
    "state_class",
    "store",
    "values",
    "version",
    "view",
    "__contains__",
    "__getitem__",
    "__iter__",
    "__len__",
    "_entry_or_none",
    "_holds",
    "_ipython_key_completions_",
    "_numbered",
    "_numbered_end",
    "_numbered_equal",
    "_numbered_find",
    "_popped",
    "_stamp",
    "_stamps",
    "_state_class",
    "_abc_impl",
    "_MutableMapping__marker",
]

BATCH: Recipes = {
    "set": STORE["batch"],
    "delete": STORE["batch"],
    "_copy": lambda state: in_batch(state, lambda b: b._copy(SCOUT, "a", "copy"), lambda b: b.set(SCOUT, "a", 0)),
    "commit": lambda state: [batch := state.batch(), batch.set(SCOUT, "a", 1), batch.commit()],
    "acommit": lambda state: [batch := state.batch(), batch.set(SCOUT, "a", 1), run(batch.acommit())],
}
BATCH_READS = ["discard", "versions", "_store"]


def scouted(change: Callable[[Agent], Any]) -> Callable[[StateManager], Any]:
    """A change of an agent that has a bit of everything."""

    def recipe(state: StateManager) -> Any:
        scout = state.agent("scout")
        for text in ("one", "two", "three"):
            scout.messages.add("user", text)
        scout.context["city"] = "Lyon"
        scout.tag("start")
        return change(scout)

    return recipe


def stepped(scout: Agent) -> None:
    with scout.step("both"):
        scout.messages.add("user", "x")
        scout.context["city"] = "Paris"


AGENTS: Recipes = {
    "save": scouted(lambda scout: scout.save({"messages": [], "other": {"a": [1, {2, 3}]}})),
    "step": scouted(stepped),
    "restore": scouted(lambda scout: [scout.context.set("city", "Rome"), scout.restore("start")]),
    "delete": scouted(lambda scout: scout.delete()),
    "fork": scouted(lambda scout: [scout.fork("other").messages.add("user", "x"), scout.context.set("city", "Rome")]),
    "detach": scouted(lambda scout: scout.fork("other").detach()),
    "retention": scouted(lambda scout: setattr(scout, "retention", Retention(keep_last=0))),
    "status": scouted(lambda scout: setattr(scout, "status", "processing")),
    "metadata": scouted(lambda scout: scout.describe(name="Scout")),
    "messages": scouted(
        lambda scout: [
            scout.messages.extend([{"role": "user", "content": "x"}] * 3),
            scout.messages.__setitem__(0, {"role": "user", "content": "y"}),
            scout.messages.__delitem__(1),
            scout.messages.clear(),
        ]
    ),
    "parts": scouted(
        lambda scout: [scout.context.update(a=1, city="Rome"), scout.context.pop("a"), scout.context.clear()]
    ),
}


def committed(state: StateManager, since: int) -> list[Change]:
    """What was changed, but for what hooks write about themselves."""
    return [change for change in state.changes(since=since) if str(change.scope) != "custom:spellkeep.hooks"]


def told(state: StateManager) -> list[tuple[str, StateScope | None, str | None]]:
    """Listens at every point."""
    calls = list[tuple[str, StateScope | None, str | None]]()

    @state.hooks.before("set", "delete", "clear")
    def listen(context: HookContext) -> None:
        calls.append((context.operation, context.scope, context.key))

    @state.hooks.before("batch")
    def listen_to_batches(context: HookContext) -> None:
        calls.append(("batch", None, None))

    return calls


ALL = {
    f"{group}.{name}": recipe
    for group, recipes in (("store", STORE), ("handle", HANDLE), ("batch", BATCH), ("agent", AGENTS))
    for name, recipe in recipes.items()
}


@pytest.mark.parametrize("name", ALL)
def test_every_committed_change_was_told_before_and_once(name: str, state: StateManager) -> None:
    begun = state.last_version
    calls = told(state)
    ALL[name](state)
    changes = committed(state, begun)
    assert changes, f"{name} wrote nothing"
    asked = Counter(call for call in calls if call[0] != "batch")
    written = Counter((change.operation, change.scope, change.key) for change in changes)
    # A delete of nothing is asked about, and nothing is written.
    assert {operation for operation, _, _ in asked - written} <= {"delete"}
    assert written - asked == Counter()
    ended = sum(one.in_batch and not other.in_batch for one, other in pairwise(changes))
    # A batch of one cannot be told from a single write afterwards.
    assert calls.count(("batch", None, None)) >= ended


@pytest.mark.parametrize("name", ALL)
def test_what_one_hook_refuses_no_call_writes(name: str, state: StateManager) -> None:
    if name.startswith("agent."):
        return
    begun, before = state.last_version, dict(state.items(SCOUT))

    @state.hooks.before("set", "delete", "clear")
    def refuse(context: HookContext) -> Any:
        return sk.hooks.HookResult.cancel("no")

    with pytest.raises(sk.errors.HookVeto, match="no"):
        ALL[name](state)
    assert (committed(state, begun), dict(state.items(SCOUT))) == ([], before)


def names_of(*classes: type) -> set[str]:
    """Everything that these define, but for what every object has."""
    plain = set(dir(object)) | {"__module__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__slots__"}
    names = {name for each in classes for name in dir(each)} - plain
    known = {name for name in names if not name.startswith("__")}
    return known | (names & {"__setitem__", "__delitem__", "__getitem__", "__contains__", "__iter__", "__len__"})


@pytest.mark.parametrize(
    ("classes", "writes", "reads"),
    [
        ((StateManager, _core.Store), STORE, STORE_READS),
        ((ScopeHandle, _core.ScopeHandle), HANDLE, HANDLE_READS),
        ((Batch, _core.Batch), BATCH, [*BATCH_READS, "__len__"]),
    ],
    ids=["StateManager", "ScopeHandle", "Batch"],
)
def test_every_call_is_listed_as_one_that_writes_or_one_that_does_not(
    classes: tuple[type, ...], writes: Recipes, reads: list[str]
) -> None:
    assert names_of(*classes) - {*writes, *reads} == set()
    assert {*writes} & {*reads} == set()
