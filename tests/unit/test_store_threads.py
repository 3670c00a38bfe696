"""Threads: nothing is lost, nothing is handed out twice, and readers see whole values."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
THREADS = 8


@pytest.fixture(params=["memory", "mapped", "unmapped"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateManager]:
    path = "memory:" if request.param == "memory" else tmp_path / "s"
    mapped = {"memory": None, "mapped": True, "unmapped": False}[request.param]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with sk.open(path, ring_bytes=65536, segment_bytes=65536, interval_ms=1, mapped_ring=mapped) as opened:
            yield opened
    finally:
        sys.setswitchinterval(interval)


def at_once(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """Runs `work(0)` to `work(count - 1)`, each in a thread, all starting together; gives their results."""
    start, results = threading.Barrier(count), [None] * count
    failures: list[BaseException] = []

    def run(index: int) -> None:
        try:
            start.wait()
            results[index] = work(index)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


def test_compare_and_set_increments_add_up_exactly(state: StateManager) -> None:
    # The reference compared an entry with itself: 1,600 updates reported, 491 to 743 present.
    state.set(SCOUT, "count", 0)
    versions: list[list[int]] = at_once(lambda _: increments(state, 100))
    assert state.get(SCOUT, "count") == THREADS * 100
    given = [version for each in versions for version in each]
    assert len(set(given)) == THREADS * 100
    assert all(each == sorted(each) for each in versions)
    values = [change.value for change in state.history(SCOUT, "count", limit=10_000)]
    assert values == list(range(THREADS * 100, -1, -1))


def increments(state: StateManager, count: int) -> list[int]:
    versions: list[int] = []
    while len(versions) < count:
        entry = state.entry(SCOUT, "count")
        try:
            versions.append(state.set(SCOUT, "count", entry.value + 1, if_version=entry.version))
        except errors.Conflict as conflict:
            assert conflict.current_version != entry.version
    return versions


def test_conditional_batches_move_amounts_without_making_or_losing_any(state: StateManager) -> None:
    accounts = [f"account-{index}" for index in range(4)]
    state.scope(SCOUT).update(dict.fromkeys(accounts, 100))

    def move(seed: int) -> None:
        done = 0
        while done < 40:
            source, target = (state.entry(SCOUT, accounts[(seed + done + step) % 4]) for step in (0, 1))
            names = [accounts[(seed + done + step) % 4] for step in (0, 1)]
            try:
                with state.batch() as batch:
                    batch.set(SCOUT, names[0], source.value - 1, if_version=source.version)
                    batch.set(SCOUT, names[1], target.value + 1, if_version=target.version)
            except errors.Conflict:
                continue
            done += 1

    at_once(move)
    assert sum(value for _, value in state.items(SCOUT)) == 400


@pytest.mark.parametrize("how", ["pop", "popitem"])
def test_threads_that_pop_the_same_keys_never_get_a_value_twice(state: StateManager, how: str) -> None:
    handle = state.scope(SCOUT)
    handle.update({f"{index:03}": index for index in range(300)})

    def take(_: int) -> list[int]:
        taken: list[int] = []
        if how == "pop":
            for index in range(300):
                if (value := handle.pop(f"{index:03}", None)) is not None:
                    taken.append(value)
            return taken
        while True:
            try:
                taken.append(handle.popitem()[1])
            except KeyError as empty:
                # It said that a key was missing while others were there.
                assert "empty" in str(empty)
                return taken

    taken = at_once(take)
    assert sorted(value for each in taken for value in each) == list(range(300))
    assert len(handle) == 0


def test_threads_that_race_to_setdefault_agree(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    for round_number in range(50):
        key = f"key-{round_number}"
        results = at_once(functools.partial(handle.setdefault, key))
        assert set(results) == {handle[key]}
    assert state.last_version == 50


def test_readers_see_whole_values_while_writers_replace_them(state: StateManager) -> None:
    handle = state.scope(SCOUT)
    value = {"number": 0, "list": [0] * 50, "array": np.zeros(500)}
    handle["a"] = value
    stop = threading.Event()

    def work(index: int) -> int:
        seen = 0
        if index < 2:
            for number in range(300):
                handle["a"] = {"number": number, "list": [number] * 50, "array": np.full(500, float(number))}
                if number % 50 == 0:
                    handle[f"other-{index}-{number}"] = number
            stop.set()
            return 0
        while not stop.is_set():
            read = handle["a"]
            assert set(read["list"]) == {read["number"]}
            assert set(read["array"].tolist()) == {read["number"]}
            listed = dict(state.items(SCOUT))
            assert set(listed["a"]["list"]) == {listed["a"]["number"]}
            entry = state.entry(SCOUT, "a")
            assert state.entry(SCOUT, "a").version >= entry.version
            seen += 1
        return seen

    at_once(work, 6)


def test_a_cleared_scope_is_empty_at_once_and_counts_add_up(state: StateManager) -> None:
    handle = state.scope(SCOUT)

    def work(index: int) -> int:
        if index == 0:
            return sum(state.clear_scope(SCOUT) for _ in range(50))
        for number in range(100):
            handle[f"{index}-{number}"] = number
        return 0

    cleared = at_once(work)[0]
    assert cleared + len(handle) == (THREADS - 1) * 100
    assert len(handle) == len(list(handle)) == state.stats().key_count


def test_close_during_writes_gives_each_writer_a_version_or_closed(tmp_path: Path) -> None:
    for round_number in range(5):
        path = tmp_path / str(round_number)
        state = sk.open(path, ring_bytes=65536, segment_bytes=65536)

        def work(index: int, state: StateManager = state) -> dict[str, int]:
            written: dict[str, int] = {}
            try:
                for number in range(5000):
                    if index == 0 and number == 20:
                        state.close()
                    written[f"{index}-{number}"] = state.set(SCOUT, f"{index}-{number}", number)
            except errors.Closed:
                pass
            return written

        written = {key: version for each in at_once(work) for key, version in each.items()}
        with sk.open(path) as again:
            assert again.recovery.clean
            assert {key: again.entry(SCOUT, key).version for key in again.list_keys(SCOUT)} == written


def test_changes_read_by_one_thread_while_others_write_are_all_there_once_and_in_order(state: StateManager) -> None:
    def work(index: int) -> list[int]:
        if index:
            for number in range(200):
                state.set(SCOUT, f"{index}", b"x" * (number * 7 % 900))
            return []
        seen: list[int] = []
        changes = state.changes()
        while len(seen) < (THREADS - 1) * 200:
            seen += [change.version for change in changes]
        return seen

    assert at_once(work)[0] == list(range(1, (THREADS - 1) * 200 + 1))


def test_an_interrupt_while_a_write_waits_leaves_the_store_usable(tmp_path: Path) -> None:
    code = """
        import sys, spellkeep as sk
        scout = sk.StateScope.agent("scout")
        with sk.open(sys.argv[1], durability="sync", ring_bytes=65536, segment_bytes=65536) as state:
            acknowledged = 0
            try:
                print("ready", flush=True)
                while True:
                    with state.batch() as batch:
                        batch.set(scout, "count", acknowledged + 1)
                        batch.set(scout, "fill", b"x" * 40000)
                    acknowledged += 1
            except KeyboardInterrupt:
                pass
            count = state.get(scout, "count", 0)
            # The interrupted one is there or not, as a whole.
            assert count in (acknowledged, acknowledged + 1), (count, acknowledged)
            version = state.set(scout, "after", count)
            assert state.durable_version >= version
            print(count, flush=True)
    """
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path / "s")],
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            threading.Event().wait(0.15)
            os.kill(child.pid, signal.SIGINT)
            count = int(child.stdout.readline())
            assert child.wait(60) == 0
        with sk.open(tmp_path / "s", ring_bytes=65536, segment_bytes=65536) as state:
            assert state.recovery.clean
            assert state.get(SCOUT, "after") == state.get(SCOUT, "count") == count
            state.clear_scope(SCOUT)


def test_threads_that_a_batch_refuses_do_not_block_each_other() -> None:
    """An exception was made under the batch's lock: that lets other threads run, and one of them wanted the lock."""
    program = """
        import faulthandler, sys, threading
        import spellkeep as sk
        faulthandler.dump_traceback_later(200, exit=True)
        sys.setswitchinterval(1e-6)
        with sk.open("memory:") as state:
            batch = state.batch()
            batch.commit()
            def refused():
                for call in [lambda: batch.set(sk.StateScope.GLOBAL, "k", 1), batch.commit] * 2000:
                    try:
                        call()
                    except sk.errors.Closed:
                        pass
            threads = [threading.Thread(target=refused) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print("done")
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=300)
    assert ran.stdout == "done\n", ran.stderr
