"""Closing, exit, locking and forking."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import ScopeHandle, StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


CLOSED_STORE: dict[str, Callable[[StateManager], object]] = {
    "set": lambda s: s.set(SCOUT, "a", 1),
    "get": lambda s: s.get(SCOUT, "a"),
    "get of an unknown scope": lambda s: s.get(StateScope.user("new"), "a"),
    "entry": lambda s: s.entry(SCOUT, "a"),
    "view": lambda s: s.view(SCOUT, "a"),
    "delete": lambda s: s.delete(SCOUT, "a"),
    "exists": lambda s: s.exists(SCOUT, "a"),
    "list_keys": lambda s: s.list_keys(SCOUT),
    "items": lambda s: s.items(SCOUT),
    "clear_scope": lambda s: s.clear_scope(SCOUT),
    "list_scopes": lambda s: s.list_scopes(),
    "history": lambda s: s.history(SCOUT, "a"),
    "changes": lambda s: s.changes(),
    "events": lambda s: s.events.emit("made"),
    "session": lambda s: s.session("s").__enter__(),
    "sessions": lambda s: s.sessions(),
    "asession": lambda s: asyncio.run(s.asession("s").__aenter__()),
    "asessions": lambda s: asyncio.run(s.asessions()),
    "hooks": lambda s: s.hooks.before("set", name="late")(lambda context: None),
    "replay": lambda s: s.replay.select(),
    "scope": lambda s: s.scope(SCOUT),
    "batch": lambda s: s.batch(),
    "checkpoint": lambda s: s.checkpoint(),
    "read_view": lambda s: s.read_view(),
    "aread_view": lambda s: s.aread_view(),
    "flush": lambda s: s.flush(),
    "stats": lambda s: s.stats(),
    "verify": lambda s: s.verify(),
    "averify": lambda s: asyncio.run(s.averify()),
    "__enter__": lambda s: s.__enter__(),
    "aset": lambda s: asyncio.run(s.aset(SCOUT, "a", 1)),
    "aget": lambda s: asyncio.run(s.aget(SCOUT, "a")),
    "aentry": lambda s: asyncio.run(s.aentry(SCOUT, "a")),
    "aview": lambda s: asyncio.run(s.aview(SCOUT, "a")),
    "adelete": lambda s: asyncio.run(s.adelete(SCOUT, "a")),
    "aexists": lambda s: asyncio.run(s.aexists(SCOUT, "a")),
    "alist_keys": lambda s: asyncio.run(s.alist_keys(SCOUT)),
    "aitems": lambda s: asyncio.run(anext_of(s.aitems(SCOUT))),
    "aclear_scope": lambda s: asyncio.run(s.aclear_scope(SCOUT)),
    "alist_scopes": lambda s: asyncio.run(s.alist_scopes()),
    "abatch": lambda s: s.abatch(),
    "ahistory": lambda s: asyncio.run(s.ahistory(SCOUT, "a")),
    "achanges": lambda s: asyncio.run(anext_of(s.achanges())),
    "acheckpoint": lambda s: asyncio.run(s.acheckpoint()),
    "aflush": lambda s: asyncio.run(s.aflush()),
    "astats": lambda s: asyncio.run(s.astats()),
    "timeline": lambda s: s.timeline(),
    "why": lambda s: s.why(SCOUT, "a"),
    "atimeline": lambda s: asyncio.run(s.atimeline()),
    "awhy": lambda s: asyncio.run(s.awhy(SCOUT, "a")),
    "agent": lambda s: s.agent("scout"),
    "save_agent_state": lambda s: s.save_agent_state("scout", {}),
    "load_agent_state": lambda s: s.load_agent_state("scout"),
    "list_saved_agents": lambda s: s.list_saved_agents(),
    "delete_agent_state": lambda s: s.delete_agent_state("scout"),
    "aagent": lambda s: asyncio.run(s.aagent("scout")),
    "asave_agent_state": lambda s: asyncio.run(s.asave_agent_state("scout", {})),
    "aload_agent_state": lambda s: asyncio.run(s.aload_agent_state("scout")),
    "alist_saved_agents": lambda s: asyncio.run(s.alist_saved_agents()),
    "adelete_agent_state": lambda s: asyncio.run(s.adelete_agent_state("scout")),
    "__aenter__": lambda s: asyncio.run(s.__aenter__()),
}
NOT_CALLS_OF_THE_STORE = {"close", "aclose", "path", "recovery", "last_version", "durable_version", "closed", "forked",
                          "durability", "read_only", "damages"}  # fmt: skip

CLOSED_HANDLE: dict[str, Callable[[ScopeHandle], object]] = {
    "set": lambda h: h.set("a", 1),
    "get": lambda h: h.get("a"),
    "entry": lambda h: h.entry("a"),
    "view": lambda h: h.view("a"),
    "delete": lambda h: h.delete("a"),
    "exists": lambda h: h.exists("a"),
    "version": lambda h: h.version("a"),
    "aversion": lambda h: asyncio.run(h.aversion("a")),
    "list_keys": lambda h: h.list_keys(),
    "iter_items": lambda h: h.iter_items(),
    "history": lambda h: h.history("a"),
    "pop": lambda h: h.pop("a", None),
    "popitem": lambda h: h.popitem(),
    "setdefault": lambda h: h.setdefault("a", 1),
    "update": lambda h: h.update(a=1),
    "update with nothing": lambda h: h.update(),
    "clear": lambda h: h.clear(),
    "keys": lambda h: list(h.keys()),
    "values": lambda h: list(h.values()),
    "items": lambda h: list(h.items()),
    "getitem": lambda h: h["a"],
    "setitem": lambda h: h.__setitem__("a", 1),
    "delitem": lambda h: h.__delitem__("a"),
    "in": lambda h: "a" in h,
    "iter": lambda h: iter(h),
    "len": lambda h: len(h),
    "bool": lambda h: bool(h),
    "==": lambda h: h == {},
    "aset": lambda h: asyncio.run(h.aset("a", 1)),
    "aget": lambda h: asyncio.run(h.aget("a")),
    "aentry": lambda h: asyncio.run(h.aentry("a")),
    "aview": lambda h: asyncio.run(h.aview("a")),
    "adelete": lambda h: asyncio.run(h.adelete("a")),
    "aexists": lambda h: asyncio.run(h.aexists("a")),
    "alist_keys": lambda h: asyncio.run(h.alist_keys()),
    "aiter_items": lambda h: asyncio.run(anext_of(h.aiter_items())),
    "ahistory": lambda h: asyncio.run(h.ahistory("a")),
    "apop": lambda h: asyncio.run(h.apop("a", None)),
    "apopitem": lambda h: asyncio.run(h.apopitem()),
    "asetdefault": lambda h: asyncio.run(h.asetdefault("a", 1)),
    "aupdate": lambda h: asyncio.run(h.aupdate(a=1)),
    "aclear": lambda h: asyncio.run(h.aclear()),
}


async def anext_of(items: Any) -> object:
    return await anext(items)


@pytest.mark.parametrize("how", ["close", "with", "async with"])
def test_a_closed_store_raises_closed_from_every_call(tmp_path: Path, how: str) -> None:
    state = sk.open(tmp_path / "s")
    handle = state.scope(SCOUT)
    state.set(SCOUT, "a", 1)
    if how == "close":
        state.close()
    elif how == "with":
        with state:
            pass
    else:

        async def leave() -> None:
            async with state:
                pass

        asyncio.run(leave())
    assert state.closed
    calls: list[tuple[str, Callable[[], object]]] = [
        *((name, lambda call=call: call(state)) for name, call in CLOSED_STORE.items()),
        *((name, lambda call=call: call(handle)) for name, call in CLOSED_HANDLE.items()),
    ]
    for name, call in calls:
        with pytest.raises(errors.Closed) as caught:
            call()
            pytest.fail(name)
        assert caught.value.code == "store.closed", name
    assert (state.last_version, state.durable_version) == (1, 1)
    assert state.recovery.last_version == 0


def test_the_tables_above_name_every_public_call() -> None:
    def public(cls: type) -> set[str]:
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(StateManager) - set(CLOSED_STORE) == NOT_CALLS_OF_THE_STORE
    assert public(ScopeHandle) - set(CLOSED_HANDLE) == {"store", "scope", "state_class"}


def test_closing_twice_is_nothing_also_from_several_sides(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        state.close()
        state.close()
        asyncio.run(state.aclose())
    assert state.closed


def test_iterators_that_began_before_the_close_do_not_crash(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    state.scope(SCOUT).update({f"{index:03}": index for index in range(600)})
    items, changes = state.items(SCOUT), state.changes()
    assert next(items) == ("000", 0)
    assert next(changes).key == "000"
    state.close()
    assert len(list(items)) == 599
    with pytest.raises(errors.Closed):
        list(changes)


def test_a_store_that_nobody_holds_any_more_is_closed_with_everything_in_it(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    handle = state.scope(SCOUT)
    handle["a"] = 1
    del state
    gc.collect()
    handle["b"] = 2
    with pytest.raises(errors.StoreLocked):
        sk.open(tmp_path / "s")
    del handle
    gc.collect()
    with sk.open(tmp_path / "s") as again:
        assert again.recovery.clean
        assert dict(again.items(SCOUT)) == {"a": 1, "b": 2}


def test_interpreter_exit_closes_every_store(tmp_path: Path) -> None:
    done = run_python(
        """
        import sys, spellkeep as sk
        states = [sk.open(f"{sys.argv[1]}/{number}") for number in range(3)]
        for state in states:
            state.set(sk.StateScope.GLOBAL, "a", 1)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for number in range(3):
        with sk.open(tmp_path / str(number)) as state:
            assert (state.recovery.clean, state.get(StateScope.GLOBAL, "a")) == (True, 1)


def test_a_store_that_cannot_be_closed_at_exit_does_not_keep_the_others_open(tmp_path: Path) -> None:
    done = run_python(
        """
        import sys, spellkeep as sk

        class Broken(sk.StateManager):
            def close(self):
                raise sk.errors.Poisoned("the disk is gone", code="store.poisoned")

        stores = [(Broken if number % 2 else sk.StateManager)(f"{sys.argv[1]}/{number}") for number in range(6)]
        for store in stores:
            store.set(sk.StateScope.GLOBAL, "a", 1)
        real = sk.StateManager.close
        closed = []
        sk.StateManager.close = lambda self: (real(self), print(self.path[-1], flush=True))
        """,
        tmp_path,
    )
    assert sorted(done.stdout.split()) == ["0", "2", "4"]
    assert done.stderr.count("the disk is gone") == 3


def test_a_second_opener_is_told_who_has_the_directory(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s"):
        with pytest.raises(errors.StoreLocked, match="this very process") as caught:
            sk.open(tmp_path / "s")
        assert (caught.value.code, caught.value.pid) == ("store.locked", os.getpid())
        done = run_python(
            """
            import sys, spellkeep as sk
            try:
                sk.open(sys.argv[1])
            except TimeoutError as error:
                print(error.pid, error.code)
            """,
            tmp_path / "s",
        )
        assert done.stdout.split() == [str(os.getpid()), "store.locked"]
    sk.open(tmp_path / "s").close()


def test_a_forked_child_gets_forked_leaves_the_store_alone_and_exits_in_silence(tmp_path: Path) -> None:
    done = run_python(
        """
        import os, sys, spellkeep as sk
        state = sk.open(sys.argv[1] + "/s")
        handle = state.scope(sk.StateScope.GLOBAL)
        handle["a"] = 1
        child = os.fork()
        if child == 0:
            calls = [lambda: handle.get("a"), lambda: handle.set("a", 2), state.flush, state.stats, state.changes,
                     lambda: state.set(handle.scope, "b", 1), lambda: len(handle), state.batch, state.list_scopes]
            for call in calls:
                try:
                    call()
                    print("no error")
                except sk.errors.Forked as error:
                    assert error.code == "store.forked"
            assert "parent" in repr(state) and "forked" in repr(handle), repr(handle)
            with sk.open(sys.argv[1] + "/other") as other:
                other.set(sk.StateScope.GLOBAL, "child", 1)
            print("child done", flush=True)
            sys.exit(0)
        print("child exit", os.waitpid(child, 0)[1])
        handle["b"] = 2
        state.flush()
        print(dict(handle))
        """,
        tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout.split("\n") == ["child done", "child exit 0", "{'a': 1, 'b': 2}", ""]
    with sk.open(tmp_path / "s") as state:
        assert (state.recovery.clean, state.recovery.last_version) == (True, 2)
