"""After-hooks on event loops, at the end of a store, of a loop and of a process."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope, errors
from spellkeep.breaker import BreakerOptions

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL
HOOKS = StateScope.custom("spellkeep.hooks")
PATIENT = BreakerOptions(window_count=1000, samples_min=1000)


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def test_async_hooks_run_on_the_loop_that_registered_them_in_order() -> None:
    async def main() -> None:
        async with sk.open("memory:") as state:
            seen, threads = list[int](), set[int]()

            @state.hooks.after("set")
            async def look(change: Change) -> None:
                await asyncio.sleep(0.001)
                threads.add(threading.get_ident())
                seen.append(change.value)
                if change.value == 3:
                    await state.aset(SCOUT, "copied", -1)

            for number in range(10):
                await state.aset(SCOUT, "a", number)
            assert await state.hooks.adrain(60)
            assert seen[:10] == list(range(10))
            assert threads == {threading.get_ident()}
            copied = next(change for change in state.changes() if change.key == "copied")
            assert copied.cause is not None and copied.tags == ("hook-depth:1",)

    asyncio.run(main())


def test_an_async_hook_whose_loop_is_gone_waits_for_the_next_process(tmp_path: Path) -> None:
    seen = list[int]()

    async def look(change: Change) -> None:
        seen.append(change.value)

    async def register(state: StateManager) -> None:
        state.hooks.after("set")(look)

    async def whole() -> None:
        async with sk.open(tmp_path / "s") as state:
            await register(state)
            assert await state.hooks.adrain(60)

    with sk.open(tmp_path / "s") as state:
        with pytest.raises(TypeError, match="event loop"):
            state.hooks.after("set")(look)
        asyncio.run(register(state))
        state.set(SCOUT, "a", 1)
        # It does not wait for this one.
        assert state.hooks.drain(60)
    assert seen == []
    asyncio.run(whole())
    assert seen == [1]


def test_closing_delivers_what_is_left_and_does_not_wait_for_a_hook_that_is_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of which it is given a minute here, so that no machine is too slow for the one and too fast to notice the other.
    monkeypatch.setattr("spellkeep.hooks.consumer._CLOSE_S", 60.0)
    seen = list[int]()
    state = sk.open(tmp_path / "s")
    state.hooks.after("set", name="look")(lambda change: seen.append(change.value))

    @state.hooks.after("set", attempts_max=1000, breaker=BreakerOptions(window_count=1, samples_min=1, open_s=60))
    def broken(change: Change) -> None:
        raise OSError

    for number in range(3000):
        state.set(SCOUT, "a", number)
    begun = time.monotonic()
    state.close()
    assert seen == list(range(3000))
    assert time.monotonic() - begun < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "spellkeep-hooks"]


def test_a_hook_may_close_the_store(state: StateManager) -> None:
    state.hooks.after("set", name="end")(lambda change: state.close())
    state.set(SCOUT, "a", 1)
    until = time.monotonic() + 60
    while not state.closed and time.monotonic() < until:
        time.sleep(0.01)
    assert state.closed


def test_a_store_that_nobody_closed_can_be_collected() -> None:
    state = sk.open("memory:")
    state.hooks.after("set", name="look")(lambda change: None)
    state.set(SCOUT, "a", 1)
    assert state.hooks.drain(60)
    gone = weakref.ref(state)
    del state
    until = time.monotonic() + 60
    while gone() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_delivers_nothing_and_ends(tmp_path: Path) -> None:
    state = sk.open(tmp_path / "s")
    seen = list[int]()
    state.hooks.after("set", name="look")(lambda change: seen.append(change.value))
    state.set(SCOUT, "a", 1)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            state.hooks.drain(1)
        except errors.Forked:
            with suppress(errors.Forked):
                state.close()
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    state.set(SCOUT, "a", 2)
    assert state.hooks.drain(60)
    state.close()
    assert seen == [1, 2]


def test_the_log_keeps_what_a_hook_has_not_read_until_it_is_forgotten(tmp_path: Path) -> None:
    def filled(state: StateManager) -> None:
        for number in range(3000):
            state.set(SCOUT, "a", f"{number}" * 100)
        state.checkpoint()
        state.checkpoint()

    def opened() -> StateManager:
        return sk.open(tmp_path / "s", keep_log_bytes=0, segment_bytes=64 << 10, ring_bytes=64 << 10)

    seen = list[int]()
    with opened() as state:
        state.hooks.after("set", name="slow")(lambda change: seen.append(change.version))
        state.hooks.disable("slow")
        filled(state)
    with opened() as state:
        filled(state)
        state.hooks.after("set", name="slow")(lambda change: seen.append(change.version))
        state.hooks.enable("slow")
        assert state.hooks.drain(60)
        (stats,) = state.hooks.stats()
        assert (len(seen), stats.dropped_count) == (6000, 0)
        filled(state)
        assert state.hooks.drain(60)
        with pytest.raises(errors.Conflict):
            state.hooks.forget("slow")
        state.hooks.unregister("slow")
        filled(state)
        oldest = next(iter(state.changes())).version
        state.hooks.forget("slow")
        state.checkpoint()
        state.set(SCOUT, "a", 1)
        state.checkpoint()
        assert next(iter(state.changes())).version > oldest
        with pytest.raises(errors.KeyMissing):
            state.hooks.forget("slow")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_not_taken_for_one_that_is_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sk.open(tmp_path / "s") as state:
        state.hooks.after("set", name="tell")(lambda change: None)
        assert state.hooks.drain(60)

        def broken(*_: object) -> bool:
            raise MemoryError

        monkeypatch.setattr(state.hooks._consumer, "_round", broken)
        state.set(SCOUT, "a", 1)
        assert not state.hooks.drain(0.3)


def test_what_cannot_be_compressed_keeps_no_hook_from_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, seen = list[type[BaseException]](), list[int]()
    monkeypatch.setattr("sys.excepthook", lambda kind, *_: told.append(kind))
    with sk.open(tmp_path / "s") as state:
        state.hooks.after("set", name="tell")(lambda change: seen.append(change.value))
        consumer = state.hooks._consumer
        assert consumer is not None
        state.set(SCOUT, "a", 1)
        assert state.hooks.drain(60)

        def broken(*_: object) -> None:
            raise ImportError

        monkeypatch.setattr("spellkeep.hooks.keeping.HistoryKeeper.due", True)
        monkeypatch.setattr("spellkeep.hooks.keeping.HistoryKeeper.turn", broken)
        for number in range(2, 5):
            state.set(SCOUT, "a", number)
            assert state.hooks.drain(60)
    assert seen == [1, 2, 3, 4] and told == [ImportError]


def test_what_could_not_be_written_stays_while_its_hook_is_busy(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        for name in ("busy", "other"):
            state.hooks.after("set", name=name)(lambda change: None)
        consumer = state.hooks._consumer
        assert consumer is not None and state.hooks.drain(60)
        delivery = consumer.delivery("busy")
        assert delivery is not None
        delivery.busy = True
        # As a full disk leaves it.
        consumer._pending["busy"] = ([(7, 1, 0, 1)], {})
        version = state.set(SCOUT, "a", 1)
        until = time.monotonic() + 60
        while not state.hooks.history("other") and time.monotonic() < until:
            time.sleep(0.01)
        delivery.busy = False
        assert state.hooks.drain(60)
        assert sorted(each.version for each in state.hooks.history("busy")) == sorted((7, version))
