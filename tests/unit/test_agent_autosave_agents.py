"""AutoSave with agents that raise, hang, give rubbish, and are saved by many threads at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import spellkeep
from autosave_parts import WAIT_S, FakeClock, Scout
from spellkeep import StateManager, errors
from spellkeep.agent import AutoSave
from spellkeep.errors import Busy, NotSerializable

NOTHING = contextlib.nullcontext()


@pytest.fixture
def state() -> Iterator[StateManager]:
    with spellkeep.open("memory:") as store:
        yield store


def test_an_agent_that_raises_is_told_where_it_asked_and_the_next_save_is_made(state: StateManager) -> None:
    class Failing(Scout):
        fails = True

        def get_state(self) -> dict[str, Any]:
            if Failing.fails:
                raise ZeroDivisionError("in get_state")
            return super().get_state()

    for lock in (None, NOTHING):
        Failing.fails = True
        clock = FakeClock()
        with AutoSave(state, Failing(), AutoSave.testing, lock=lock, clock=clock) as saves:
            with pytest.raises(ZeroDivisionError):
                saves.save()
            if lock is None:
                with pytest.raises(ZeroDivisionError):
                    saves.notify()
            else:
                saves.notify()
                clock.rest()
                with pytest.raises(ZeroDivisionError):
                    saves.mark_dirty()
                clock.rest()
            assert saves.metrics.attempted == saves.metrics.failed >= 2
            assert isinstance(saves.metrics.last_error, ZeroDivisionError)
            assert saves.dirty
            Failing.fails = False
            saves.save()
            assert not saves.dirty


@pytest.mark.parametrize(
    ("rubbish", "error"),
    [
        (None, TypeError),
        ([1, 2], TypeError),
        ("state", TypeError),
        ({"client": object()}, NotSerializable),
        ({1: 2}, TypeError),
        ({"": 1}, errors.InvalidKey),
        ({"deep": [lambda: 1]}, NotSerializable),
    ],
)
def test_rubbish_from_the_agent_is_refused_and_what_was_saved_stays(
    state: StateManager, rubbish: Any, error: type[Exception]
) -> None:
    class Rubbish(Scout):
        def get_state(self) -> Any:
            return rubbish

    state.save_agent_state("scout", {"messages": [1]})
    for lock in (None, NOTHING):
        saves = AutoSave(state, Rubbish(), AutoSave.testing, lock=lock).start()
        with pytest.raises(error):
            saves.save()
        with pytest.raises(error):
            saves.stop()
    assert state.load_agent_state("scout") == {"messages": [1]}


def test_a_get_state_that_is_async_is_refused(state: StateManager) -> None:
    class Async(Scout):
        async def get_state(self) -> Any:  # type: ignore[override]
            return {}

    saves = AutoSave(state, Async(), AutoSave.testing).start()
    with pytest.raises(TypeError, match="coroutine"):
        saves.stop()


def test_an_agent_that_saves_itself_while_it_is_asked_is_told(state: StateManager) -> None:
    class Selfish(Scout):
        def get_state(self) -> dict[str, Any]:
            saves.notify()
            saves.save()
            return super().get_state()

    saves = AutoSave(state, Selfish(), AutoSave.testing).start()
    with pytest.raises(RuntimeError, match="saves itself"):
        saves.save()
    with pytest.raises(RuntimeError, match="saves itself"):
        saves.stop()


def test_an_agent_that_hangs_stops_nobody_for_longer_than_the_timeout(state: StateManager) -> None:
    go = threading.Event()

    class Hanging(Scout):
        def get_state(self) -> dict[str, Any]:
            assert go.wait(WAIT_S)
            return super().get_state()

    saves = AutoSave(state, Hanging(), AutoSave.testing, lock=NOTHING, timeout_s=0.05).start()
    # The agent's own calls do not wait for it.
    for _ in range(3):
        saves.notify()
    with pytest.raises(Busy) as caught:
        saves.pause()
    assert caught.value.code == "autosave.busy"
    with pytest.raises(Busy):
        saves.stop()
    go.set()
    assert saves._thread is not None
    saves._thread.join(WAIT_S)
    # What was asked for before the end is saved all the same.
    assert not saves._thread.is_alive()
    assert saves.metrics.succeeded == 1


def test_threads_that_pause_at_once_ask_the_agent_one_after_the_other(state: StateManager) -> None:
    class Counting(Scout):
        at_once = most = 0

        def get_state(self) -> dict[str, Any]:
            Counting.at_once += 1
            Counting.most = max(Counting.most, Counting.at_once)
            try:
                return super().get_state()
            finally:
                Counting.at_once -= 1

    for lock in (None, NOTHING):
        scout, barrier = Counting(), threading.Barrier(8)
        with AutoSave(state, scout, AutoSave.testing, lock=lock) as saves:
            scout.say(repr(lock))

            def pause(saves: AutoSave = saves, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(WAIT_S)
                for _ in range(50):
                    saves.pause()

            with ThreadPoolExecutor(8) as threads:
                for paused in [threads.submit(pause) for _ in range(8)]:
                    paused.result(WAIT_S)
            assert saves.metrics.succeeded == 1
        assert Counting.most == 1


def test_stop_while_a_save_is_running_waits_for_it_and_saves_what_came_later(state: StateManager) -> None:
    scout, go, at_it = Scout(), threading.Event(), threading.Event()
    saves = AutoSave(state, scout, AutoSave.testing).start()
    real = saves._saved.save

    def slow(taken: Any) -> int:
        at_it.set()
        assert go.wait(WAIT_S)
        return real(taken)

    saves._saved.save = slow  # type: ignore[method-assign]
    scout.say("a")
    saves.notify()
    assert at_it.wait(WAIT_S)
    scout.say("b")
    # From two threads: one does it, the other finds it done.
    versions = list[int]()
    threads = [threading.Thread(target=lambda: versions.append(saves.stop())) for _ in range(2)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert sorted(versions) == [0, saves.metrics.last_saved_version]
    assert len((state.load_agent_state("scout") or {})["messages"]) == 2
