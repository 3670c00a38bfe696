"""What the tests of AutoSave share: an agent, and a clock that only goes on when it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from spellkeep.agent import PersistentAgentMixin
from spellkeep.agent.freezing import Clock

WAIT_S = 60.0
"""How long a test waits for what must come. Nothing depends on how soon it does."""


class Scout(PersistentAgentMixin):
    """An agent of a class of its own."""

    def __init__(self, agent_id: str = "scout") -> None:
        self.agent_id = agent_id
        self.messages: list[dict[str, Any]] = []
        self.context: dict[str, Any] = {}
        self.mood = "calm"
        self._asked_in: list[int] = []

    def say(self, content: str) -> None:
        self.messages.append({"role": "user", "content": content})

    def get_state(self) -> dict[str, Any]:
        self._asked_in.append(threading.get_ident())
        return super().get_state()


class FakeClock(Clock):
    """Time that stands still. `advance` moves it, and returns once the thread has done what was to be done then."""

    def __init__(self) -> None:
        self.time_s = 1000.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[], None] = lambda: None
        self._resting = threading.Condition()
        self._rests = False
        self.inbox: SimpleQueue[Any] | None = None

    def now(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time_s += seconds
        self.on_sleep()

    def receive(self, inbox: SimpleQueue[Any], timeout_s: float | None) -> Any:
        with self._resting:
            self.inbox = inbox
            self._rests = inbox.empty()
            self._resting.notify_all()
        if timeout_s == 0:
            return None
        message = inbox.get()
        with self._resting:
            self._rests = False
        return message

    def rest(self) -> None:
        """Return once the thread has nothing to do."""
        with self._resting:
            assert self._resting.wait_for(lambda: self._rests and self.inbox is not None and self.inbox.empty(), WAIT_S)

    def advance(self, seconds: float) -> None:
        self.rest()
        self.time_s += seconds
        assert self.inbox is not None
        self.inbox.put(True)
        self.rest()
