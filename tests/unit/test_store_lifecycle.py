"""Opening, closing, forking, options, and what objects say of themselves."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Batch, ScopeHandle, StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


CLOSED_STORE: dict[str, Callable[[StateManager], object]] = {
    "set": lambda s: s.set(SCOUT, "a", 1),
    "get": lambda s: s.get(SCOUT, "a"),
    "get of an unknown scope": lambda s: s.get(StateScope.user("new"), "a"),
    "entry": lambda s: s.entry(SCOUT, "a"),
    "delete": lambda s: s.delete(SCOUT, "a"),
    "exists": lambda s: s.exists(SCOUT, "a"),
    "list_keys": lambda s: s.list_keys(SCOUT),
    "items": lambda s: s.items(SCOUT),
    "clear_scope": lambda s: s.clear_scope(SCOUT),
    "list_scopes": lambda s: s.list_scopes(),
    "history": lambda s: s.history(SCOUT, "a"),
    "changes": lambda s: s.changes(),
    "scope": lambda s: s.scope(SCOUT),
    "batch": lambda s: s.batch(),
    "flush": lambda s: s.flush(),
    "stats": lambda s: s.stats(),
    "__enter__": lambda s: s.__enter__(),
    "aset": lambda s: asyncio.run(s.aset(SCOUT, "a", 1)),
    "aget": lambda s: asyncio.run(s.aget(SCOUT, "a")),
    "aentry": lambda s: asyncio.run(s.aentry(SCOUT, "a")),
    "adelete": lambda s: asyncio.run(s.adelete(SCOUT, "a")),
    "aexists": lambda s: asyncio.run(s.aexists(SCOUT, "a")),
    "alist_keys": lambda s: asyncio.run(s.alist_keys(SCOUT)),
    "aitems": lambda s: asyncio.run(anext_of(s.aitems(SCOUT))),
    "aclear_scope": lambda s: asyncio.run(s.aclear_scope(SCOUT)),
    "alist_scopes": lambda s: asyncio.run(s.alist_scopes()),
    "abatch": lambda s: s.abatch(),
    "ahistory": lambda s: asyncio.run(s.ahistory(SCOUT, "a")),
    "achanges": lambda s: asyncio.run(anext_of(s.achanges())),
    "aflush": lambda s: asyncio.run(s.aflush()),
    "astats": lambda s: asyncio.run(s.astats()),
    "__aenter__": lambda s: asyncio.run(s.__aenter__()),
}
NOT_CALLS_OF_THE_STORE = {"close", "aclose", "path", "recovery", "last_version", "durable_version", "closed", "forked",
                          "durability"}  # fmt: skip

CLOSED_HANDLE: dict[str, Callable[[ScopeHandle], object]] = {
    "set": lambda h: h.set("a", 1),
    "get": lambda h: h.get("a"),
    "entry": lambda h: h.entry("a"),
    "delete": lambda h: h.delete("a"),
    "exists": lambda h: h.exists("a"),
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


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"durability": "always"}, "durability"),
    ({"durability": ""}, "durability"),
    *(({"interval_ms": value}, "interval_ms") for value in (0, -1, 60_001, 2**64)),
    *(({"ring_bytes": value}, "ring_bytes") for value in (0, -65536, 65535, 61440, 65537, 2**30 + 4096, 2**70)),
    *(({"segment_bytes": value}, "segment_bytes") for value in (0, -1, 65535, 2**40 + 1, 2**64)),
]


@pytest.mark.parametrize(("options", "name"), OPTIONS, ids=str)
def test_an_option_out_of_range_is_refused_by_name_and_makes_nothing(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    for path in (tmp_path / "s", "memory:"):
        with pytest.raises(errors.LimitExceeded, match=name) as caught:
            sk.open(path, **options)
        assert caught.value.code == "store.option"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"durability": None},
        {"interval_ms": "20"},
        {"ring_bytes": 65536.0},
        {"limits": {}},
        {"mapped_ring": "yes"},
        {"x": 1},
    ],
    ids=str,
)
def test_an_option_of_another_type_is_a_type_error(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        sk.open(tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"interval_ms": 1}, {"interval_ms": 60_000}, {"ring_bytes": 65536}, {"segment_bytes": 65536}]
)
def test_an_option_at_the_edge_of_its_range_is_taken(options: dict[str, Any]) -> None:
    with sk.open("memory:", **options) as state:
        state.set(SCOUT, "a", 1)


@pytest.mark.parametrize("word", ["process", "interval", "sync"])
def test_the_durability_is_a_word_that_can_be_asked_for(tmp_path: Path, word: Any) -> None:
    with sk.open(tmp_path / "s", durability=word) as state:
        assert state.durability == word
        version = state.set(SCOUT, "a", 1)
        if word == "sync":
            assert state.durable_version == version
        assert state.flush() == state.durable_version == version


def test_options_may_change_from_one_opening_to_the_next(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"ring_bytes": 65536},
        {"ring_bytes": 1 << 20, "durability": "sync"},
        {"mapped_ring": False},
        {"mapped_ring": True, "ring_bytes": 65536},
        {"segment_bytes": 65536},
        {},
    ]
    for count, options in enumerate(changes):
        with sk.open(tmp_path / "s", **options) as state:
            assert (state.recovery.clean, len(state.scope(SCOUT))) == (True, count)
            state.set(SCOUT, f"{count}", count)


def test_a_path_that_is_a_file_or_under_one_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "s"):
        with pytest.raises(errors.StorageFailed) as caught:
            sk.open(path)
        assert caught.value.code == "storage.not_a_directory"
        assert isinstance(caught.value, OSError)
        assert caught.value.errno
        assert "file" in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_of_something_else_is_left_as_it_is_or_used_beside_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with sk.open(tmp_path) as state:
        state.set(SCOUT, "a", 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["str", "path", "nested", "unicode", "relative"])
def test_paths_of_every_form_open_the_directory_they_name(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path: Any = {
        "str": str(tmp_path / "s"),
        "path": tmp_path / "s",
        "nested": tmp_path / "a" / "b" / "c",
        "unicode": tmp_path / "Zustände \U0001f600",
        "relative": "s",
    }[kind]
    with sk.open(path) as state:
        assert state.path == os.fspath(path)
        state.set(SCOUT, "a", 1)
    assert Path(path).is_dir()


@pytest.mark.parametrize("path", [None, 7, b"s", ["s"]])
def test_what_is_no_path_is_a_type_error(path: Any) -> None:
    with pytest.raises(TypeError):
        sk.open(path)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_no_file_system_takes_is_an_error_that_says_so(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((errors.StorageFailed, ValueError)):
        sk.open(path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_makes_no_file_and_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sk.open("memory:") as one, sk.open("memory:", durability="sync") as two:
        assert one.path == two.path == "memory:"
        one.set(SCOUT, "a", 1)
        two.set(SCOUT, "a", 2)
        assert (one.get(SCOUT, "a"), two.get(SCOUT, "a")) == (1, 2)
        assert one.flush() == 1
        assert [change.value for change in one.history(SCOUT, "a")] == [1]
    assert list(tmp_path.iterdir()) == []


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
