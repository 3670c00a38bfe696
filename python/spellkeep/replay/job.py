"""A replay that is going on: threads, progress, and an end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from spellkeep.errors import Busy, LimitExceeded
from spellkeep.replay.report import ReplayItem, ReplayReport

CONCURRENCY_MAX = 64
"""Most threads, or processes, of one replay."""

Progress = Callable[[int, int], None]
"""Told how many items are done, of how many; in a thread of the replay."""


class Killable(Protocol):
    """What a replay started."""

    def kill(self) -> None:
        """End it now."""


class ReplayJob:
    """A replay in the background: wait for it, or cancel it.

    After `cancel` nothing more of it begins, and processes that it started are killed. A function that is running in a
    thread of this process cannot be interrupted: it goes on to its end, and its answer is not looked at.
    """

    def __init__(self, mode: str, items: Sequence[ReplayItem], progress: Progress | None) -> None:
        self._mode = mode
        # What cannot be run is an item already; what is to be run begins as cancelled.
        self._items = list(items)
        self._progress = progress
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._started: list[Killable] = []
        self._left = 0
        self._done = 0
        self._error: BaseException | None = None
        self.cancelled = False

    def start(self, works: Sequence[Callable[[], None]], concurrency: int) -> None:
        """Do these, so many at a time."""
        if not 1 <= concurrency <= CONCURRENCY_MAX:
            raise LimitExceeded(f"concurrency is 1 to {CONCURRENCY_MAX}", code="replay.option")
        queue, taking = iter(works), threading.Lock()

        def work() -> None:
            try:
                while not self.cancelled:
                    with taking:
                        each = next(queue, None)
                    if each is None:
                        break
                    each()
            except BaseException as error:
                with self._lock:
                    self._error = self._error or error
                self.cancel()
            finally:
                with self._lock:
                    self._left -= 1
                    if not self._left:
                        self._over.set()

        self._left = min(concurrency, len(works))
        if not self._left:
            self._over.set()
        # Daemons: a hook that hangs is no reason for the program to go on.
        for number in range(self._left):
            threading.Thread(target=work, name=f"spellkeep-replay-{number}", daemon=True).start()

    def put(self, index: int, item: ReplayItem) -> None:
        """An item is done."""
        with self._lock:
            if self.cancelled:
                return
            self._items[index] = item
            self._done += 1
            done = self._done
        if self._progress is not None:
            self._progress(done, len(self._items))

    def started(self, process: Killable) -> None:
        """A process is to be killed with the replay."""
        with self._lock:
            self._started.append(process)
            kill = self.cancelled
        if kill:
            process.kill()

    def cancel(self) -> None:
        """Let nothing more of it happen. Nothing once it is over."""
        with self._lock:
            if self._over.is_set():
                return
            self.cancelled = True
            started = list(self._started)
        for process in started:
            process.kill()
        self._over.set()

    @property
    def done(self) -> bool:
        """Whether it is over, or cancelled."""
        return self._over.is_set()

    def wait(self, timeout_s: float | None = None) -> ReplayReport:
        """Wait for the end; return the report. What was cancelled says so.

        Raises: Busy (replay.busy) when it takes longer; it goes on.
        """
        if not self._over.wait(timeout_s):
            raise Busy("the replay goes on", code="replay.busy")
        with self._lock:
            if self._error is not None:
                raise self._error
            return ReplayReport(self._mode, self._items)
