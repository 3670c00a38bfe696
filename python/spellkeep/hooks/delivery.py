"""Delivering committed changes to one hook: in order, at least once, tried again, held back by its breaker."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from spellkeep.changes import Change
from spellkeep.hooks.log import FAILED, PROCEEDED, RETRY, SKIPPED, Row
from spellkeep.hooks.registered import Registered
from spellkeep.hooks.result import HookResult

# Between attempts, doubled each time.
_BACKOFF_S = 0.05
_BACKOFF_MAX_S = 10.0


class Delivery:
    """Where one hook stands.

    Attributes:
        position: every version up to it was delivered, or was nothing for this hook, or was given up.
        stored_position: what the store has of that.
        rows, errors: executions that the history does not have yet.
        not_before: when it may be tried again.
        busy: whether the event loop has a chunk of it.
        inside: the thread that runs it.
    """

    def __init__(
        self, hook: Registered, position: int, *, batch: bool, attempts_max: int, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self.hook = hook
        self.position = self.stored_position = position
        self.rows: list[Row] = []
        self.errors: dict[int, str] = {}
        self.not_before = 0.0
        self.busy = False
        self.inside: int | None = None
        self.given_up_count = self.dropped_count = 0
        self._batch = batch
        self._attempts_max = attempts_max
        self._attempts = 0
        self._loop = loop
        self._points = {point.operation for point in hook.points if not point.is_before}

    @property
    def stuck(self) -> bool:
        """Whether nothing more can happen to it: its event loop is closed."""
        return self._loop is not None and self._loop.is_closed()

    def wants(self, change: Change) -> bool:
        """Whether the hook is for this change."""
        if change.operation not in self._points or str(change.scope).startswith("custom:spellkeep."):
            return False
        number = change.state_class.value if change.operation == "set" else None
        return self.hook.filter.lets(change.scope, change.key, number)

    def deliver(self, changes: list[Change], end: int, wake: Callable[[], None]) -> None:
        """Give the hook what it wants of these changes, which come right behind its position and go up to `end`.

        Afterwards `position` is where it came to; with an event loop, once `busy` is over.
        """
        wanted = list(filter(self.wants, changes))
        if not wanted:
            self.position = end
        elif self._loop is None:
            self._run(wanted, end)
        else:
            self._send(wanted, end, wake)

    def _run(self, wanted: list[Change], end: int) -> None:
        self.inside = threading.get_ident()
        try:
            for given in [wanted] if self._batch else wanted:
                last, digest = _identity(given)
                if not self._may_run():
                    return
                begun = time.perf_counter_ns()
                answer: Any
                try:
                    answer = self.hook.call(given)
                # SystemExit, too, must not end the thread that delivers to all.
                except BaseException as error:
                    answer = error
                if not self._settle(last, digest, answer, time.perf_counter_ns() - begun):
                    return
            self.position = end
        finally:
            self.inside = None

    def _send(self, wanted: list[Change], end: int, wake: Callable[[], None]) -> None:
        assert self._loop is not None

        async def run() -> None:
            for given in [wanted] if self._batch else wanted:
                last, digest = _identity(given)
                if not self._may_run():
                    return
                begun = time.perf_counter_ns()
                answer: Any
                try:
                    answer = await self.hook.call(given)
                except asyncio.CancelledError:
                    self.hook.breaker.abandoned()
                    raise
                except Exception as error:
                    answer = error
                if not self._settle(last, digest, answer, time.perf_counter_ns() - begun):
                    return
            self.position = end

        def done(future: Future[None]) -> None:
            self.busy = False
            wake()

        self.busy = True
        running = run()
        try:
            asyncio.run_coroutine_threadsafe(running, self._loop).add_done_callback(done)
        except RuntimeError:
            # The loop is closed.
            running.close()
            self.busy = False

    def _may_run(self) -> bool:
        breaker = self.hook.breaker
        if self.hook._admit():
            return True
        self.not_before = time.monotonic() + max(breaker.retry_in_s, 0.001)
        return False

    def _settle(self, version: int, digest: int, answer: Any, ns: int) -> bool:
        """Count an execution; whether the next change may be given."""
        error: BaseException | None = None
        outcome, after_s = PROCEEDED, 0.0
        if isinstance(answer, BaseException):
            outcome, error = FAILED, answer
        elif answer is not None:
            action = answer.action if isinstance(answer, HookResult) else ""
            if action == "retry":
                outcome, after_s = RETRY, answer.after_s
            elif action == "skip":
                outcome = SKIPPED
            elif action != "proceed":
                outcome, error = FAILED, TypeError(f"an after-hook cannot {action or 'answer that'}: it has happened")
        self.hook._count(outcome, ns)
        if error is not None:
            self.hook.last_error = type(error).__name__
        if self.hook.records:
            if error is not None:
                self.errors[len(self.rows)] = type(error).__name__
            self.rows.append((version, -(-ns // 1000), outcome, digest))
        if outcome not in (FAILED, RETRY):
            self.position, self._attempts = version, 0
            return True
        self._attempts += 1
        if outcome == FAILED and self._attempts >= self._attempts_max:
            self.given_up_count += 1
            self.position, self._attempts = version, 0
            return True
        if outcome == FAILED:
            # Full jitter, as the breaker's.
            after_s = random.random() * min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** min(self._attempts, 16))
        self.not_before = time.monotonic() + after_s
        return False


def _identity(given: Change | list[Change]) -> tuple[int, int]:
    """Version and digest of what a hook is given; of a list, the last ones."""
    change = given[-1] if isinstance(given, list) else given
    return change.version, change.digest
