"""AutoSave when something goes wrong: disks, agents, other threads, the store. Nothing fails in silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep
from autosave_parts import FakeClock, Scout
from spellkeep import StateManager, errors
from spellkeep.agent import AutoSave, BreakerOptions
from spellkeep.errors import Closed, Conflict, NotSerializable, Poisoned, ReadOnly, StorageFailed

NOTHING = contextlib.nullcontext()


@pytest.fixture
def state() -> Iterator[StateManager]:
    with spellkeep.open("memory:") as store:
        yield store


class Refusing:
    """Stands before the store, and refuses as often as it is told."""

    def __init__(self, saves: AutoSave, error: Exception | None = None) -> None:
        self.calls = 0
        self.left = 0
        self.error = error or StorageFailed("the disk is full", code="storage.full")
        self._real = saves._saved.save
        saves._saved.save = self  # type: ignore[assignment]

    def __call__(self, taken: Any) -> int:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return self._real(taken)


def messages_of(state: StateManager) -> int:
    return len((state.load_agent_state("scout") or {"messages": []})["messages"])


def test_a_refused_save_is_tried_again_with_random_waits_that_may_double(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    options = {"attempts_max": 6, "backoff_s": 1.0, "backoff_max_s": 4.0}
    with AutoSave(state, scout, AutoSave.testing, clock=clock, **options) as saves:
        store = Refusing(saves)
        store.left = 5
        scout.say("a")
        assert saves.save() > 0
        assert store.calls == 6
        assert len(clock.slept) == 5
        assert all(0 <= slept <= most for slept, most in zip(clock.slept, [1, 2, 4, 4, 4], strict=True))
        assert len(set(clock.slept)) == 5
        metrics = saves.metrics
        assert (metrics.attempted, metrics.succeeded, metrics.failed, metrics.retried) == (1, 1, 0, 5)
        assert metrics.last_error is store.error
    assert messages_of(state) == 1


def test_a_failed_save_in_the_background_is_raised_by_the_next_call_once(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    with AutoSave(state, scout, AutoSave.testing, clock=clock, attempts_max=2) as saves:
        store = Refusing(saves)
        store.left = 2
        scout.say("a")
        saves.notify()
        clock.rest()
        assert (saves.metrics.failed, saves.metrics.succeeded, saves.metrics.retried) == (1, 0, 1)
        with pytest.raises(StorageFailed) as caught:
            saves.mark_dirty()
        assert caught.value is store.error
        assert saves.dirty
        # It has surfaced. The state is still there, and goes with the next save.
        saves.mark_dirty()
        assert saves.save() > 0
        assert not saves.dirty
    assert messages_of(state) == 1


def test_what_failed_is_tried_again_by_itself_when_it_may_and_then_nothing_is_raised(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    with AutoSave(state, scout, AutoSave.testing, clock=clock, backoff_max_s=7.0) as saves:
        store = Refusing(saves)
        store.left = 1
        scout.say("a")
        saves.notify()
        clock.advance(6.9)
        assert (store.calls, messages_of(state)) == (1, 0)
        clock.advance(0.2)
        assert (store.calls, messages_of(state)) == (2, 1)
        assert not saves.dirty
        saves.mark_dirty()


@pytest.mark.parametrize(
    "error",
    [
        NotSerializable("never", code="value.type"),
        errors.LimitExceeded("never", code="value.bytes"),
        errors.InvalidKey("never", code="key.empty"),
        ValueError("never"),
    ],
)
def test_what_cannot_get_better_is_not_tried_again_and_ends_nothing(state: StateManager, error: Exception) -> None:
    scout, clock = Scout(), FakeClock()
    with AutoSave(state, scout, AutoSave.testing, clock=clock, attempts_max=5) as saves:
        store = Refusing(saves, error)
        store.left = 1
        with pytest.raises(type(error)):
            saves.save()
        assert (store.calls, clock.slept, saves.metrics.failed) == (1, [], 1)
        clock.advance(3600)
        assert store.calls == 1
        assert saves.save() > 0


@pytest.mark.parametrize("kind", [Poisoned, Closed, errors.Forked, ReadOnly])
def test_a_store_that_is_no_more_is_not_tried_again_and_every_call_says_so(
    state: StateManager, kind: type[errors.StateError]
) -> None:
    scout, clock = Scout(), FakeClock()
    saves = AutoSave(state, scout, AutoSave.testing, clock=clock, attempts_max=5).start()
    store = Refusing(saves, kind("it is over", code="store.over"))
    store.left = 100
    saves.notify()
    clock.rest()
    for call in (saves.notify, saves.mark_dirty, saves.save, saves.pause, saves.load, saves.stop):
        with pytest.raises(kind, match="it is over"):
            call()
    assert (store.calls, clock.slept) == (1, [])
    assert saves.metrics.failed == 1


def test_a_store_that_was_closed_is_told_by_the_next_call(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path / "s") as state:
        saves = AutoSave(state, Scout(), AutoSave.testing, message_count=None).start()
    for call in (saves.notify, saves.save, saves.stop):
        with pytest.raises(Closed) as caught:
            call()
        assert caught.value.code == "store.closed"
    assert saves.stop() == 0


def test_a_store_to_look_at_is_refused_at_once(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path / "s") as state:
        state.save_agent_state("scout", {"messages": []})
    with spellkeep.open(tmp_path / "s", read_only=True) as state, pytest.raises(ReadOnly):
        AutoSave(state, Scout())


def test_the_breaker_holds_saves_back_and_lets_a_probe_through(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    breaker = BreakerOptions(samples_min=3, window_count=3, failure_ratio=1.0, open_s=60)
    options = {"breaker": breaker, "backoff_max_s": 1.0, "message_count": 1}
    with AutoSave(state, scout, AutoSave.testing, clock=clock, **options) as saves:
        store = Refusing(saves)
        store.left = 4
        for _ in range(3):
            with pytest.raises(StorageFailed):
                saves.save()
        assert saves.metrics.breaker == "open"
        with pytest.raises(StorageFailed) as caught:
            saves.save()
        assert caught.value.code == "autosave.breaker_open"
        assert caught.value.__cause__ is store.error
        assert store.calls == 3
        scout.say("a")
        saves.notify()
        clock.advance(59)
        assert store.calls == 3
        # The probe fails, the next one does not.
        clock.advance(2)
        assert (store.calls, saves.metrics.breaker) == (4, "open")
        with pytest.raises(StorageFailed):
            saves.mark_dirty()
        clock.advance(61)
        assert (store.calls, saves.metrics.breaker, messages_of(state)) == (5, "closed", 1)


def test_a_breaker_that_opens_ends_the_attempts_of_a_save(state: StateManager) -> None:
    clock = FakeClock()
    breaker = BreakerOptions(samples_min=2, window_count=5, failure_ratio=0.5, open_s=60)
    with AutoSave(state, Scout(), AutoSave.testing, clock=clock, breaker=breaker, attempts_max=50) as saves:
        store = Refusing(saves)
        store.left = 2
        with pytest.raises(StorageFailed) as caught:
            saves.save()
        assert (store.calls, caught.value.code) == (2, "storage.full")


def test_stop_tries_whatever_the_breaker_says(state: StateManager) -> None:
    scout, clock = Scout(), FakeClock()
    breaker = BreakerOptions(samples_min=1, window_count=1, open_s=3600)
    with AutoSave(state, scout, AutoSave.testing, clock=clock, breaker=breaker) as saves:
        store = Refusing(saves)
        store.left = 1
        with pytest.raises(StorageFailed):
            saves.save()
        assert saves.metrics.breaker == "open"
        scout.say("a")
    assert messages_of(state) == 1


def test_a_stop_that_fails_raises_and_has_ended(state: StateManager) -> None:
    saves = AutoSave(state, Scout(), AutoSave.testing).start()
    Refusing(saves).left = 1
    with pytest.raises(StorageFailed):
        saves.stop()
    assert saves.stop() == 0
    assert saves._thread is not None
    assert not saves._thread.is_alive()
    with pytest.raises(Closed):
        saves.notify()


def test_a_failed_save_behind_an_error_is_raised_in_its_context_and_beside_a_cancel_noted(state: StateManager) -> None:
    for raised in (ValueError("mine"), KeyboardInterrupt(), asyncio.CancelledError()):
        saves = AutoSave(state, Scout(), AutoSave.testing)
        Refusing(saves).left = 1
        with pytest.raises((StorageFailed, KeyboardInterrupt, asyncio.CancelledError)) as caught, saves:
            raise raised
        if isinstance(raised, ValueError):
            assert caught.type is StorageFailed
            assert caught.value.__context__.__context__ is raised or caught.value.__context__ is raised
        else:
            assert caught.value is raised
            assert "could not be saved: StorageFailed" in raised.__notes__[0]


def test_a_sync_save_counts_only_once_it_is_acknowledged(tmp_path: Path) -> None:
    # The second attempt finds that nothing differs; the first one had written it, and never heard that it is durable.
    flushed = list[int]()

    class Store(StateManager):
        fails = 0

        def _fail(self) -> None:
            if Store.fails:
                Store.fails -= 1
                raise StorageFailed("the sync failed", code="storage.io")

        def _acknowledge(self, version: int) -> int:
            self._fail()
            return super()._acknowledge(version)

        def flush(self) -> int:
            self._fail()
            flushed.append(super().flush())
            return flushed[-1]

    with Store(tmp_path / "s", durability="sync", ring_bytes=64 << 10, segment_bytes=64 << 10) as state:
        scout, clock = Scout(), FakeClock()
        with AutoSave(state, scout, AutoSave.testing, attempts_max=2, clock=clock) as saves:
            scout.say("a")
            Store.fails = 1
            version = saves.save()
            assert flushed == [version]
            assert state.durable_version >= version == saves.metrics.last_saved_version
            metrics = saves.metrics
            assert (metrics.succeeded, metrics.skipped, metrics.retried) == (1, 0, 1)
            # Given up, and made good by the next save.
            scout.say("b")
            Store.fails = 2
            with pytest.raises(StorageFailed):
                saves.save()
            assert Store.fails == 0
            assert saves.save() > version
        assert len(flushed) == 2


def test_conflicts_are_tried_again(state: StateManager) -> None:
    clock = FakeClock()
    with AutoSave(state, Scout(), AutoSave.testing, clock=clock, attempts_max=2) as saves:
        store = Refusing(saves, Conflict("it moved on", code="cas.version_mismatch"))
        store.left = 1
        assert saves.save() > 0
        assert store.calls == 2


def test_time_goes_on_for_a_loop_that_is_closed(state: StateManager) -> None:
    # Asking a closed loop raises in the thread, which must live on.
    scout, clock = Scout(), FakeClock()
    saves = AutoSave(state, scout, AutoSave.testing, interval_s=5, message_count=None, clock=clock)

    async def begin() -> None:
        await saves.__aenter__()

    asyncio.run(begin())
    scout.say("a")
    saves.mark_dirty()
    clock.advance(5)
    assert messages_of(state) == 0
    clock.time_s += 5
    saves.mark_dirty()
    clock.rest()
    assert messages_of(state) == 1
    saves.stop()
