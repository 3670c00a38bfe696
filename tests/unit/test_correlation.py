"""What the records of one piece of work share: which writes take it, where it holds, what a record says of it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Correlation, StateScope

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[sk.StateManager]:
    with sk.open(tmp_path / "s") as state:
        yield state


def last(state: sk.StateManager) -> sk.Change:
    return list(state.changes())[-1]


def from_where(change: sk.Change) -> tuple[Any, ...]:
    return (change.correlation, change.actor, change.tags, change.cause)


def in_a_batch(state: sk.StateManager) -> None:
    with state.batch() as batch:
        batch.set(SCOUT, "a", 2)
        batch.delete(SCOUT, "there")
        batch._copy(SCOUT, "kept", "copy")


def deletes_all(state: sk.StateManager) -> None:
    state.scope(SCOUT).clear()


WRITES: dict[str, Callable[[sk.StateManager], Any]] = {
    "set": lambda state: state.set(SCOUT, "a", 1),
    "set with an expiry": lambda state: state.set(SCOUT, "a", 1, ttl_s=100),
    "set of more than the ring takes": lambda state: state.set(SCOUT, "a", "x" * (3 << 20)),
    "aset": lambda state: asyncio.run(state.aset(SCOUT, "a", 1)),
    "delete": lambda state: state.delete(SCOUT, "there"),
    "clear_scope": lambda state: state.clear_scope(SCOUT),
    "batch": in_a_batch,
    "handle set": lambda state: state.scope(SCOUT).set("a", 1),
    "handle item": lambda state: state.scope(SCOUT).__setitem__("a", 1),
    "handle update": lambda state: state.scope(SCOUT).update(a=1, b=2),
    "handle pop": lambda state: state.scope(SCOUT).pop("there", None),
    "handle setdefault": lambda state: state.scope(SCOUT).setdefault("new", 1),
    "handle clear": deletes_all,
    "replace": lambda state: state.scope(SCOUT)._replace("there", 2),
    "numbered": lambda state: state.scope(SCOUT)._add_numbered("message/", state.last_version, 1),
    "emit": lambda state: state.events.emit("made", 1),
    "emit of more than the ring takes": lambda state: state.events.emit("made", "x" * (3 << 20)),
    "aemit": lambda state: asyncio.run(state.events.aemit("made", 1)),
    "agent": lambda state: state.agent("a").messages.append({"role": "user", "content": "hi"}),
    "agent variable": lambda state: state.agent("a").context.update(plan=[1]),
    "agent tag": lambda state: state.agent("a").tag("t"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_path_of_writing_says_where_it_comes_from(
    state: sk.StateManager, write: Callable[[sk.StateManager], Any]
) -> None:
    for key in ("there", "kept"):
        state.set(SCOUT, key, 1)
    state.agent("a").context["plan"] = [0]
    before = state.last_version
    with sk.correlate("req-42", actor="anna", tags=("billing", "größe"), cause=17):
        write(state)
    made = list(state.changes(since=before))
    assert made
    assert {from_where(change) for change in made} == {("req-42", "anna", ("billing", "größe"), 17)}
    write(state)
    after = list(state.changes(since=made[-1].version))
    assert {from_where(change) for change in after} <= {(None, None, (), None)}


def test_what_expires_was_asked_for_by_nobody(state: sk.StateManager) -> None:
    with sk.correlate("req-42"):
        version = state.set(SCOUT, "a", 1, ttl_s=0.01)
        while state.last_version == version:
            pass
    assert [(change.operation, change.correlation) for change in state.changes()] == [
        ("set", "req-42"),
        ("expire", None),
    ]


def test_an_inner_block_takes_over_what_it_is_not_given() -> None:
    assert sk.current_correlation() is None
    with sk.correlate("outer", actor="anna", tags=["a", "b"], cause=3) as outer:
        assert sk.current_correlation() == outer == Correlation("outer", actor="anna", tags=["a", "b"], cause=3)
        with sk.correlate() as inner:
            assert inner == outer
        with sk.correlate("inner", tags=["b", "c"]) as inner:
            assert inner == Correlation("inner", actor="anna", tags=["a", "b", "c"], cause=3)
            with sk.correlate(actor="bob", cause=0) as innermost:
                assert innermost == Correlation("inner", actor="bob", tags=["a", "b", "c"], cause=0)
        assert sk.current_correlation() == outer
    assert sk.current_correlation() is None


def test_without_an_id_each_block_gets_a_fresh_one() -> None:
    with sk.correlate() as one:
        pass
    with sk.correlate() as two:
        assert two.id is not None
        assert one.id != two.id
        assert len(bytes.fromhex(two.id)) == 16


def test_a_block_that_raises_ends_all_the_same() -> None:
    with pytest.raises(ZeroDivisionError), sk.correlate("req-42"):
        _ = 1 / 0
    assert sk.current_correlation() is None


def test_each_thread_and_each_task_has_its_own(state: sk.StateManager) -> None:
    def write(name: str) -> None:
        for i in range(200):
            with sk.correlate(name):
                state.set(StateScope.session(name), f"k{i}", i)

    threads = [threading.Thread(target=write, args=(f"thread {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def task(name: str) -> None:
        with sk.correlate(name):
            for i in range(50):
                await state.aset(StateScope.session(name), f"k{i}", i)
                await asyncio.sleep(0)

    async def tasks() -> None:
        await asyncio.gather(*(task(f"task {n}") for n in range(4)))

    asyncio.run(tasks())
    found = [(change.scope, change.correlation) for change in state.changes()]
    assert len(found) == 1000
    assert all(scope.ids == (name,) for scope, name in found)


def test_a_thread_takes_it_over_with_a_copied_context_only(state: sk.StateManager) -> None:
    seen: list[str | None] = []

    def look() -> None:
        state.set(SCOUT, "a", 1)
        seen.append(last(state).correlation)

    async def task() -> None:
        look()

    async def run() -> None:
        await asyncio.to_thread(look)
        await asyncio.create_task(task())

    with sk.correlate("req-42"):
        copied = contextvars.copy_context()
        plain = threading.Thread(target=look)
        plain.start()
        plain.join()
        asyncio.run(run())
    copying = threading.Thread(target=copied.run, args=(look,))
    copying.start()
    copying.join()
    assert seen == [None, "req-42", "req-42", "req-42"]


@pytest.mark.parametrize("what", ["id", "actor", "tag"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "correlation.empty"),
        ("x" * 129, "correlation.too_long"),
        ("ü" * 65, "correlation.too_long"),
        ("a\tb", "correlation.control_character"),
        ("a\x00b", "correlation.control_character"),
        ("\ud800", "correlation.lone_surrogate"),
    ],
)
def test_a_text_that_breaks_a_rule_is_refused(what: str, text: str, code: str) -> None:
    given: dict[str, Any] = {"tags": [text]} if what == "tag" else {what: text}
    with pytest.raises(sk.errors.InvalidKey) as refused, sk.correlate(**given):
        pytest.fail("it was taken")
    assert refused.value.code == code
    assert sk.current_correlation() is None


def test_the_longest_texts_are_taken(state: sk.StateManager) -> None:
    tags = ("x" * 127, "ü" * 63)
    with sk.correlate("i" * 128, actor="ä" * 64, tags=tags, cause=2**64 - 1):
        state.set(SCOUT, "a", 1)
    assert from_where(last(state)) == ("i" * 128, "ä" * 64, tags, 2**64 - 1)
    with pytest.raises(sk.errors.InvalidKey) as refused, sk.correlate(tags=["x" * 127, "y" * 128]):
        pytest.fail("it was taken")
    assert refused.value.code == "correlation.tags_too_long"


def test_what_is_no_text_is_refused() -> None:
    wrong: list[dict[str, Any]] = [{"id": 7}, {"actor": b"anna"}, {"tags": "billing"}, {"tags": [1]}, {"cause": "17"}]
    for given in wrong:
        with pytest.raises(TypeError), sk.correlate(**given):
            pytest.fail("it was taken")


def test_it_survives_reopening_and_a_checkpoint_that_lets_the_log_go(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", segment_bytes=65536, ring_bytes=65536, keep_log_bytes=0) as state:
        with sk.correlate("req-42", actor="anna", tags=["a"], cause=3):
            version = state.set(SCOUT, "kept", "value")
        for i in range(20):
            state.set(SCOUT, "pad", "x" * 8000 + str(i))
        state.checkpoint()
        with pytest.raises(sk.errors.LimitExceeded):
            state.changes(since=version)
        assert from_where(state.history(SCOUT, "kept")[0]) == ("req-42", "anna", ("a",), 3)
    for options in ({}, {"memory_budget_bytes": 0}, {"read_only": True}):
        with sk.open(tmp_path / "s", **options) as state:  # type: ignore[arg-type]
            (change,) = state.history(SCOUT, "kept")
            assert (change.version, change.value, *from_where(change)) == (
                version,
                "value",
                "req-42",
                "anna",
                ("a",),
                3,
            )


KILLED = """
import os, signal, sys
import spellkeep as sk
state = sk.open(sys.argv[1])
with sk.correlate("req-42", actor="anna"), state.events.span("called", [1]):
    state.set(sk.StateScope.GLOBAL, "a", 1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_survives_a_kill(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "s")], check=False, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    with sk.open(tmp_path / "s") as state:
        told = [(change.operation, change.key, *from_where(change)) for change in state.changes()]
    assert told == [("event", "called", "req-42", "anna", (), None), ("set", "a", "req-42", "anna", (), 1)]


def test_it_is_immutable_and_says_what_it_is() -> None:
    made: Any = Correlation("req-42", tags=["a"])
    assert repr(made) == "Correlation('req-42', actor=None, tags=('a',), cause=None)"
    assert made == Correlation("req-42", tags=("a",))
    assert hash(made) == hash(Correlation("req-42", tags=("a",)))
    assert made != Correlation("req-43", tags=("a",))
    assert made != "req-42"
    with pytest.raises(AttributeError):
        made.id = "other"


def test_the_feed_is_in_order_however_long_it_is(state: sk.StateManager) -> None:
    for i in range(1000):
        with sk.correlate(f"req-{i}"):
            state.set(SCOUT, "a", i)
    assert [(change.version, change.correlation) for change in state.changes()] == [
        (i + 1, f"req-{i}") for i in range(1000)
    ]


def test_a_change_that_says_where_it_comes_from_can_be_pickled(state: sk.StateManager) -> None:
    with sk.correlate("req-42", actor="anna", tags=["a", "b"], cause=3):
        state.set(SCOUT, "a", [1, {"b": 2}], ttl_s=1000)
    change = last(state)
    again = pickle.loads(pickle.dumps(change))
    assert again == change
    assert (hash(again), repr(again), from_where(again)) == (hash(change), repr(change), from_where(change))
    assert (again.value, again.expires_at, again.at) == (change.value, change.expires_at, change.at)
    state.set(SCOUT, "a", [1, {"b": 2}], ttl_s=1000)
    assert last(state) != change
