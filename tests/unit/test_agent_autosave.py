"""AutoSave: when it saves, in which thread it asks the agent, what it counts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import spellkeep
from autosave_parts import WAIT_S, FakeClock, Scout
from spellkeep import StateManager
from spellkeep.agent import AutoSave, AutoSaveOptions, PersistentAgent
from spellkeep.errors import Closed, LimitExceeded, NotSerializable


@pytest.fixture
def state() -> Iterator[StateManager]:
    with spellkeep.open("memory:") as store:
        yield store


def saved(state: StateManager) -> Any:
    loaded = state.load_agent_state("scout")
    return None if loaded is None else loaded["messages"]


def contents(*said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": each} for each in said]


def test_stop_pause_resume_and_save_return_the_version_of_what_they_saved(state: StateManager) -> None:
    scout = Scout()
    with AutoSave(state, scout, AutoSave.minimal) as saves:
        scout.say("a")
        first = saves.pause()
        assert saved(state) == contents("a")
        assert saves.pause() == 0
        scout.say("b")
        second = saves.resume()
        assert 0 < first < second == saves.metrics.last_saved_version
        scout.say("c")
        assert saves.save() > second
        scout.say("d")
    assert saved(state) == contents("a", "b", "c", "d")
    assert saves.metrics.succeeded == 4
    assert saves.metrics.skipped == 1
    assert saves.metrics.attempted == 5


def test_what_was_saved_is_loaded_into_another_object(state: StateManager) -> None:
    scout = Scout()
    with AutoSave(state, scout, AutoSave.testing):
        scout.say("a")
        scout.mood = "bold"
    again = Scout()
    with AutoSave(state, again, AutoSave.testing) as saves:
        assert saves.load()
        assert (again.messages, again.mood) == (contents("a"), "bold")
        # It was saved then, and nothing differed.
        assert (saves.metrics.attempted, saves.metrics.skipped) == (1, 1)
        assert not AutoSave(state, Scout("nobody"), AutoSave.testing).start().load()


def test_load_saves_what_the_agent_makes_of_the_state(state: StateManager) -> None:
    class Newer(Scout):
        def set_state(self, state: dict[str, Any], /) -> None:
            super().set_state(state)
            self.mood = self.mood.upper()

    state.save_agent_state("scout", {"mood": "calm"})
    with AutoSave(state, Newer(), AutoSave.testing) as saves:
        assert saves.load()
        assert state.agent("scout").to_dict()["mood"] == "CALM"


def test_it_saves_after_so_many_messages_and_not_before(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    with AutoSave(state, scout, AutoSave.testing, message_count=3, clock=clock) as saves:
        for number, expected in enumerate([None, None, 3, 3, 3, 6], 1):
            scout.say(str(number))
            saves.notify()
            clock.rest()
            assert (saved(state) and len(saved(state))) == expected
            assert saves.dirty == (expected != number)
        saves.notify(3)
        clock.rest()
        assert (saves.metrics.succeeded, saves.metrics.skipped) == (2, 1)


def test_a_pause_holds_back_messages_and_time_until_the_resume(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    lock = threading.Lock()
    with AutoSave(state, scout, AutoSave.testing, interval_s=5, lock=lock, clock=clock) as saves:
        saves.pause()
        scout.say("a")
        saves.notify()
        clock.advance(60)
        assert saved(state) == []
        saves.resume()
        assert saved(state) == contents("a")
        scout.say("b")
        saves.mark_dirty()
        clock.advance(5)
        assert saved(state) == contents("a", "b")


def test_without_a_lock_only_the_callers_thread_asks_the_agent(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    with AutoSave(state, scout, AutoSave.testing, interval_s=10, message_count=None, clock=clock) as saves:
        scout.say("a")
        saves.mark_dirty()
        clock.advance(9)
        saves.mark_dirty()
        clock.advance(20)
        # The time has come, but nobody may ask; the next call does.
        assert (saved(state), scout._asked_in) == (None, [])
        scout.say("b")
        saves.mark_dirty()
        clock.rest()
        assert saved(state) == contents("a", "b")
    assert set(scout._asked_in) == {threading.get_ident()}


def test_with_a_lock_the_thread_asks_under_it_when_it_is_time_and_calls_never_do(state: StateManager) -> None:
    class Held(Scout):
        def get_state(self) -> dict[str, Any]:
            held.append(lock.locked())
            return super().get_state()

    scout, clock, lock = Held(), FakeClock(), threading.Lock()
    held = list[bool]()
    with AutoSave(state, scout, AutoSave.testing, interval_s=10, message_count=2, lock=lock, clock=clock) as saves:
        with lock:
            scout.say("a")
            # Does not wait for the lock.
            saves.notify()
        clock.advance(10)
        assert saved(state) == contents("a")
        scout.say("b")
        saves.notify()
        clock.rest()
        assert saved(state) == contents("a")
        scout.say("c")
        saves.notify()
        clock.rest()
        assert saved(state) == contents("a", "b", "c")
        assert saves.save() == 0
    assert held and all(held)
    assert threading.get_ident() not in scout._asked_in


def test_an_interval_without_a_change_asks_nobody_unless_it_compares(state: StateManager) -> None:
    for compare in (False, True):
        scout, clock = Scout(), FakeClock()
        nothing = contextlib.nullcontext()
        options = AutoSaveOptions(interval_s=5, compare=compare, on_exit=False, on_sigterm=False)
        with AutoSave(state, scout, options, lock=nothing, clock=clock) as saves:
            scout.say(f"compare {compare}")
            clock.advance(5)
            clock.advance(5)
            assert len(scout._asked_in) == (2 if compare else 0)
            assert saves.metrics.attempted == 2
            assert saves.metrics.skipped == (1 if compare else 2)


def test_later_changes_do_not_reach_into_a_save_that_is_under_way(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    scout.context = {"deep": [{"x": 1}]}
    go, at_it = threading.Event(), threading.Event()
    with AutoSave(state, scout, AutoSave.testing, clock=clock) as saves:
        real = saves._saved.save

        def slow(taken: Any) -> int:
            at_it.set()
            assert go.wait(WAIT_S)
            return real(taken)

        saves._saved.save = slow  # type: ignore[method-assign]
        saves.notify()
        assert at_it.wait(WAIT_S)
        scout.context["deep"][0]["x"] = 2
        scout.say("later")
        go.set()
        clock.rest()
        assert state.load_agent_state("scout") == {"messages": [], "context": {"deep": [{"x": 1}]}, "mood": "calm"}


def test_states_that_come_while_one_is_stored_are_stored_as_one(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    go, at_it = threading.Event(), threading.Event()
    with AutoSave(state, scout, AutoSave.testing, clock=clock) as saves:
        real = saves._saved.save

        def slow(taken: Any) -> int:
            at_it.set()
            assert go.wait(WAIT_S)
            return real(taken)

        saves._saved.save = slow  # type: ignore[method-assign]
        for number in range(10):
            scout.say(str(number))
            saves.notify()
            assert at_it.wait(WAIT_S)
        assert saves.dirty
        go.set()
        clock.rest()
        assert not saves.dirty
        assert saves.metrics.succeeded == 2
        assert len(saved(state)) == 10


def test_calls_before_the_start_and_after_the_stop_say_so(state: StateManager) -> None:
    saves = AutoSave(state, Scout(), AutoSave.testing)
    with pytest.raises(RuntimeError, match="not started"):
        saves.notify()
    with saves, pytest.raises(RuntimeError, match="once"):
        saves.start()
    assert saves.stop() == 0
    for call in (saves.notify, saves.mark_dirty, saves.save, saves.pause, saves.resume, saves.load):
        with pytest.raises(Closed) as caught:
            call()
        assert caught.value.code == "autosave.stopped"
    with pytest.raises(RuntimeError):
        saves.start()


def test_what_is_no_agent_is_refused(state: StateManager) -> None:
    with pytest.raises(TypeError, match="a dict has not"):
        AutoSave(state, {}, AutoSave.testing)  # type: ignore[arg-type]
    assert isinstance(Scout(), PersistentAgent)
    assert not isinstance(object(), PersistentAgent)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("interval_s", 0.001, 86_400.0),
        ("message_count", 1, 1_000_000),
        ("attempts_max", 1, 100),
        ("backoff_s", 0, 3600),
        ("backoff_max_s", 0, 3600),
        ("timeout_s", 0.001, 86_400.0),
        ("grace_s", 0, 3600),
    ],
)
def test_options_have_limits(name: str, low: float, high: float) -> None:
    for value in (low, high):
        AutoSaveOptions(**{name: value})  # type: ignore[arg-type]
    for value in (low - 0.001, high + 1, float("nan")):
        with pytest.raises(LimitExceeded) as caught:
            AutoSaveOptions(**{name: value})  # type: ignore[arg-type]
        assert caught.value.code == "autosave.option"


def test_presets_are_options_that_do_not_change() -> None:
    for preset in (AutoSave.development, AutoSave.production, AutoSave.testing, AutoSave.minimal):
        assert isinstance(preset, AutoSaveOptions)
        with pytest.raises(AttributeError):
            preset.interval_s = 1.0  # type: ignore[misc]


def test_the_async_twins_do_the_same_and_time_is_kept_by_the_loop(state: StateManager) -> None:
    async def live() -> None:
        scout, clock = Scout(), FakeClock()
        async with AutoSave(state, scout, AutoSave.testing, interval_s=5, message_count=None, clock=clock) as saves:
            assert not await saves.aload()
            scout.say("a")
            assert await saves.apause() > 0
            assert await saves.aresume() == 0
            scout.say("b")
            saves.mark_dirty()
            await asyncio.to_thread(clock.advance, 5)
            # The loop was asked, and has not come to it.
            while saves.dirty:
                await asyncio.sleep(0)
            assert saved(state) == contents("a", "b")
            assert await saves.asave() == 0
            assert await saves.aload()
            scout.say("c")
        assert set(scout._asked_in) == {threading.get_ident()}
        assert await saves.astop() == 0

    asyncio.run(live())
    assert saved(state) == contents("a", "b", "c")


def test_a_cancelled_wait_does_not_keep_the_save_from_being_made(state: StateManager) -> None:
    async def live() -> None:
        scout, go, at_it = Scout(), threading.Event(), threading.Event()
        async with AutoSave(state, scout, AutoSave.testing) as saves:
            real = saves._saved.save

            def slow(taken: Any) -> int:
                at_it.set()
                assert go.wait(WAIT_S)
                return real(taken)

            saves._saved.save = slow  # type: ignore[method-assign]
            scout.say("a")
            task = asyncio.create_task(saves.asave())
            await asyncio.to_thread(at_it.wait, WAIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go.set()
            while saves.metrics.succeeded == 0:
                await asyncio.sleep(0)
            assert saved(state) == contents("a")

    asyncio.run(live())


def test_a_cancelled_task_saves_its_agent_on_the_way_out(state: StateManager) -> None:
    async def live() -> None:
        async with AutoSave(state, scout, AutoSave.testing):
            scout.say("a")
            began.set()
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(live())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    scout, began = Scout(), asyncio.Event()
    asyncio.run(main())
    assert saved(state) == contents("a")


def test_the_mixin_takes_public_attributes_and_slots_and_nothing_else(state: StateManager) -> None:
    class Slotted(Scout):
        __slots__ = ("_secret", "plan")
        shared = "of the class"

        @property
        def computed(self) -> int:
            return 1

    scout = Slotted()
    scout.plan = ("walk", 1)
    scout._secret = object()
    assert scout.get_state() == {"messages": [], "context": {}, "mood": "calm", "plan": ("walk", 1)}
    assert scout.save(state) > 0
    assert scout.save(state) == 0
    other = Slotted()
    other.mood = "other"
    assert other.load(state)
    assert (other.plan, other.mood) == (("walk", 1), "calm")
    assert not Slotted("nobody").load(state)
    for name in ("_secret", "agent_id"):
        with pytest.raises(ValueError, match=name):
            other.set_state({"mood": "never", name: 1})
    assert other.mood == "calm"
    scout.context["client"] = object()
    with pytest.raises(NotSerializable):
        scout.save(state)

    async def twins() -> None:
        del scout.context["client"]
        scout.say("a")
        assert await scout.asave(state) > 0
        assert await other.aload(state)

    asyncio.run(twins())
    assert other.messages == contents("a")
