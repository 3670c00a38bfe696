"""The thread behind an `AutoSave`: takes what is to be saved, stores it, tries again, and tells how it went."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.agent.freezing import Clock, Frozen, freeze, thaw
from spellkeep.agent.options import AutoSaveMetrics, AutoSaveOptions
from spellkeep.agent.persistent import PersistentAgent
from spellkeep.breaker import CircuitBreaker
from spellkeep.errors import Closed, Conflict, Forked, Poisoned, ReadOnly, StateError, StorageFailed

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# What may get better while the agent and the store stay the same.
_TRIED_AGAIN = (StorageFailed, Conflict)
# Nothing will ever be saved again.
_FINAL = (Closed, Forked, Poisoned, ReadOnly)

BY_ITSELF, ASKED, FORCED = range(3)
"""Who wants a save: nobody waits, and it may wait for the store to get better; a caller; whoever ends it all."""


class _Save(NamedTuple):
    """One state to save, and who waits for it."""

    state: Frozen
    changes: int
    urgency: int
    waiting: list[Future[int]]


def new_future() -> Future[int]:
    """One that cannot be cancelled: whoever gives up waiting does not keep the save from being made."""
    future: Future[int] = Future()
    future.set_running_or_notify_cancel()
    return future


class Background:
    """What `AutoSave` is built on. At most one state waits to be stored: a newer one takes its place."""

    def __init__(
        self,
        state: StateManager,
        agent: PersistentAgent,
        options: AutoSaveOptions,
        lock: AbstractContextManager[Any] | None,
        clock: Clock | None,
    ) -> None:
        self.options = options
        self.agent = agent
        self._agent_id = agent.agent_id
        self._state = state
        # Kept, so that its writer does not read everything anew for each save.
        self._saved = state.agent(self._agent_id)
        self._agent_lock = lock
        self._clock = clock or Clock()
        self._breaker = None if options.breaker is None else CircuitBreaker(options.breaker, self._clock.now)
        self._metrics = AutoSaveMetrics()
        # Reentrant: SIGTERM may interrupt the main thread where it has it.
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        # One at a time asks the agent, and hands over in the order in which it asked.
        self._freezing = threading.RLock()
        self._inside: int | None = None
        # Only wakes the thread, so that a signal handler may use it. What there is to do is in the fields below.
        self._inbox: SimpleQueue[bool] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owner = threading.get_ident()
        self._changes = self._saved_changes = self._new_messages = 0
        self._due_at = self._not_before = 0.0
        self._asked = self._running = self._paused = self._stopping = self._stopped = False
        self._requests: list[tuple[Future[int], int]] = []
        self._pending: _Save | None = None
        self._failure: BaseException | None = None
        self._broken: StateError | None = None
        # An attempt failed that may have written everything, and not waited until it was durable.
        self._unsure = False

    @property
    def dirty(self) -> bool:
        """Whether a change was told that is not saved."""
        return self._changes > self._saved_changes

    @property
    def metrics(self) -> AutoSaveMetrics:
        """Figures up to now."""
        return replace(self._metrics, breaker="closed" if self._breaker is None else self._breaker.state)

    def _count(self, error: BaseException | None = None, **more: int) -> None:
        with self._lock:
            added: dict[str, Any] = {name: getattr(self._metrics, name) + count for name, count in more.items()}
            self._metrics = replace(self._metrics, last_error=error or self._metrics.last_error, **added)

    def _wake(self) -> None:
        self._inbox.put(True)

    # Taking the state.

    def _request(self, urgency: int) -> Future[int]:
        if self._agent_lock is None:
            return self._freeze(urgency)
        future = new_future()
        with self._lock:
            self._requests.append((future, urgency))
        self._wake()
        return future

    def _freeze(self, urgency: int) -> Future[int]:
        """Ask the agent, and hand over what it gave."""
        with self._freezing:
            if self._inside is not None:
                raise RuntimeError(f"get_state() of {self._agent_id!r} saves itself")
            self._inside = threading.get_ident()
            with self._lock:
                changes, messages = self._changes, self._new_messages
            try:
                with self._agent_lock or nullcontext():
                    state = freeze(self.agent.get_state())
            except BaseException as error:
                self._count(error, attempted=1, failed=1)
                raise
            finally:
                self._inside = None
            with self._lock:
                future, before = new_future(), self._pending
                waiting = [future] if before is None else [future, *before.waiting]
                self._pending = _Save(state, changes, max(urgency, before.urgency if before else 0), waiting)
                self._new_messages -= messages
                self._asked = False
                self._put_off()
                self._settled.notify_all()
        self._wake()
        return future

    def _freeze_on_loop(self) -> None:
        try:
            self._freeze(BY_ITSELF)
        except Exception as error:
            self._failure = error

    def _ask_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._freeze_on_loop)
        except RuntimeError:
            # It is closed: from now on the calls of the agent decide.
            self._loop = None

    def _is_time(self) -> bool:
        return self.options.interval_s is not None and self._clock.now() >= self._due_at

    def _put_off(self) -> None:
        self._due_at = self._clock.now() + (self.options.interval_s or 0)

    # The thread.

    def _work(self) -> None:
        while not (self._stopped and self._pending is None and not self._requests):
            self._clock.receive(self._inbox, self._rest_s())
            self._turn()

    def _rest_s(self) -> float | None:
        with self._lock:
            times = [self._not_before] if self._pending is not None else []
            if self._watches_time():
                times.append(self._due_at)
        return max(min(times) - self._clock.now(), 0) if times else None

    def _watches_time(self) -> bool:
        if self.options.interval_s is None or self._paused or self._stopping:
            return False
        return self._agent_lock is not None or self._loop is not None

    def _turn(self) -> None:
        if self._watches_time() and self._is_time():
            self._tick()
        if self._agent_lock is not None:
            self._freeze_for_requests()
        with self._lock:
            save = self._pending
            if save is None or (save.urgency == BY_ITSELF and self._clock.now() < self._not_before):
                return
            self._pending = None
            self._running = True
        self._make(save)

    def _tick(self) -> None:
        self._put_off()
        if not (self.dirty or self.options.compare):
            self._count(attempted=1, skipped=1)
        elif self._agent_lock is not None:
            self._asked = True
        elif self._loop is not None:
            self._ask_loop(self._loop)

    def _freeze_for_requests(self) -> None:
        with self._lock:
            requests, self._requests = self._requests, []
        if not requests and not self._asked:
            return
        waiting = [future for future, _ in requests]
        try:
            self._freeze(max([urgency for _, urgency in requests], default=BY_ITSELF))
        except BaseException as error:
            with self._lock:
                self._asked = False
                self._failure = error
                self._settled.notify_all()
            for future in waiting:
                future.set_exception(error)
        else:
            with self._lock:
                assert self._pending is not None
                self._pending.waiting.extend(waiting)

    # Storing.

    def _make(self, save: _Save) -> None:
        self._count(attempted=1)
        try:
            version = self._retrying()(self._attempt, save)
        except BaseException as error:
            self._gave_up(save, error)
            return
        with self._lock:
            if version:
                self._count(succeeded=1)
                self._metrics = replace(self._metrics, last_saved_version=version)
            else:
                self._count(skipped=1)
            self._saved_changes = max(self._saved_changes, save.changes)
            self._failure, self._not_before, self._running = None, 0.0, False
            self._settled.notify_all()
        for future in save.waiting:
            future.set_result(version)

    def _gave_up(self, save: _Save, error: BaseException) -> None:
        self._count(None if _is_held_back(error) else error, failed=1)
        with self._lock:
            self._failure, self._running = error, False
            if isinstance(error, _FINAL):
                self._broken = error
            elif isinstance(error, _TRIED_AGAIN):
                rest_s = max(self.options.backoff_max_s, 0.0 if self._breaker is None else self._breaker.retry_in_s)
                self._not_before = self._clock.now() + rest_s
                if self._pending is None and save.urgency < FORCED:
                    self._pending = save._replace(urgency=BY_ITSELF, waiting=[])
            self._settled.notify_all()
        for future in save.waiting:
            future.set_exception(error)

    def _retrying(self) -> Callable[..., int]:
        # Not needed before something is saved.
        from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        def count(attempt: RetryCallState) -> None:
            assert attempt.outcome is not None
            self._count(attempt.outcome.exception(), retried=1)

        return Retrying(
            sleep=self._clock.sleep,
            stop=stop_after_attempt(self.options.attempts_max),
            wait=wait_random_exponential(multiplier=self.options.backoff_s, max=self.options.backoff_max_s),
            retry=retry_if_exception(self._may_get_better),
            before_sleep=count,
            reraise=True,
        )

    def _may_get_better(self, error: BaseException) -> bool:
        if self._breaker is not None and self._breaker.state != "closed":
            return False
        return isinstance(error, _TRIED_AGAIN)

    def _attempt(self, save: _Save) -> int:
        breaker = self._breaker
        if breaker is None:
            return self._write(save)
        if not breaker.allow() and save.urgency < FORCED:
            last = self._metrics.last_error
            detail = f"saves of {self._agent_id!r} are held back for {breaker.retry_in_s:.1f} s, as they failed: {last}"
            raise StorageFailed(detail, code="autosave.breaker_open") from last
        try:
            version = self._write(save)
        except _TRIED_AGAIN:
            breaker.failed()
            raise
        except BaseException:
            breaker.abandoned()
            raise
        breaker.succeeded()
        return version

    def _write(self, save: _Save) -> int:
        unsure, self._unsure = self._unsure, True
        version = self._saved.save(thaw(save.state))
        if version == 0 and unsure:
            # The attempt before had written it, and failed behind that: it counts once it is as durable as asked for.
            if self._state.durability == "sync":
                self._state.flush()
            version = self._saved.version
        self._unsure = False
        return version

    # The end of the process: see `exits`.

    def _begin_end(self) -> None:
        with self._lock:
            # An agent that never told of anything is asked, one that told of everything is not.
            if not (self.dirty or self.options.compare or self._changes == 0):
                return
            self._asked = True
        if self._agent_lock is not None:
            self._wake()
        elif self._loop is not None:
            self._ask_loop(self._loop)

    def _wait_end(self) -> BaseException | None:
        options = self.options
        with self._settled:
            # Only an agent that takes part by itself has to come to its next call first.
            grace_s = options.grace_s if self._agent_lock is None else options.timeout_s
            self._settled.wait_for(lambda: not self._asked, grace_s)
            self._settled.wait_for(lambda: self._failure or not (self._running or self._pending), options.timeout_s)
            return self._failure

    def _end_in_handler(self) -> None:
        """In the main thread, wherever it was: an agent that lives there stands still."""
        if self._asked and self._agent_lock is None and self._inside is None and self._owner == threading.get_ident():
            self._freeze(FORCED).result(self.options.timeout_s)


def _is_held_back(error: BaseException) -> bool:
    return isinstance(error, StateError) and error.code == "autosave.breaker_open"
