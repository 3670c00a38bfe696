"""What the tests of scheduled replays share: a clock that stands still, and a store that runs nothing by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import replayed
import spellkeep as sk
from spellkeep import StateManager, StateScope
from spellkeep.replay.scheduler import Scheduler

SCOUT = StateScope.agent("scout")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 28, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class ByHand(Scheduler):
    """Runs nothing by itself."""

    def begin(self) -> None:
        pass


def opened(path: Path | str, clock: Clock, scheduler: type[Scheduler] = ByHand, **how: Any) -> StateManager:
    state = sk.open(path, **{"allow_replay": True, **how})
    # It has begun with the clock of the system; without a hook it has run nothing.
    state._end_replays()
    state.__dict__["_scheduler"] = scheduler(state, clock)
    return state


def fill(state: StateManager, hook: Callable[[Any], Any] = replayed.steady) -> None:
    """Two executions of `hook`."""
    state.hooks.before("set", name="hook")(hook)
    for number in (1, 2):
        state.set(SCOUT, "a", {"n": number})
    assert state.hooks.drain(60)


def until(true: Callable[[], Any]) -> Any:
    """Wait for what a thread does."""
    end = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found
