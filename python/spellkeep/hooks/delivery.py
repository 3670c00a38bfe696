"""Delivering committed changes to one hook: in order, at least once, tried again, held back by its breaker."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from spellkeep import _core
from spellkeep.changes import Change
from spellkeep.hooks.base import Keeper
from spellkeep.hooks.log import FAILED, PROCEEDED, RETRY, SKIPPED, Row
from spellkeep.hooks.registered import Registered
from spellkeep.hooks.result import HookResult

# Between attempts, doubled each time.
_BACKOFF_S = 0.05
_BACKOFF_MAX_S = 10.0
# What is over before is no call that hangs, whatever its budget: the machine may be busy.
_HANGS_S = 1.0

DEPTH_MAX = 8
"""What is so many hooks deep is delivered to none."""


class _Given(NamedTuple):
    """What a hook is given at once, and how many hooks deep that is."""

    changes: list[Change]
    depth: int

    @classmethod
    def one(cls, change: Change, depth: int) -> _Given:
        """A single change."""
        return cls([change], depth)

    def what(self, batch: bool) -> Any:
        """As the hook takes it."""
        return self.changes if batch else self.changes[0]

    def origin(self) -> _core.Correlation:
        """What the hook writes comes from there."""
        last = self.changes[-1]
        tags = (f"hook-depth:{self.depth + 1}",)
        return _core.Correlation(last.correlation, actor=last.actor, tags=tags, cause=last.version)


class Delivery:
    """Where one hook stands.

    Attributes:
        position: every version up to it was delivered, or was nothing for this hook, or was given up.
        stored_position: what the store has of that.
        rows, errors: executions that the history does not have yet.
        not_before: when it may be tried again.
        busy: whether an event loop, or a thread, has a chunk of it.
        inside: the thread that runs it.
        hangs: whether a call goes on beyond its budget.
        keeper: what knows more than a position, to be kept with it.
        unkept: whether it may have learned something since.
        whole_batches: whether it is given batches, each at once.
    """

    def __init__(
        self,
        hook: Registered,
        position: int,
        *,
        batch: bool,
        attempts_max: int,
        loop: asyncio.AbstractEventLoop | None,
        keeper: Keeper | None = None,
    ) -> None:
        self._operations = [point.operation for point in hook.points if not point.is_before]
        self.whole_batches = "batch" in self._operations
        self.hook = hook
        self.position = self.stored_position = position
        self.rows: list[Row] = []
        self.errors: dict[int, str] = {}
        self.not_before = 0.0
        self.busy = False
        self.inside: int | None = None
        self.hangs = self.unkept = False
        self.keeper = keeper
        self.given_up_count = self.dropped_count = self.too_deep_count = 0
        self._batch = batch or self.whole_batches
        self._attempts_max = attempts_max
        self._attempts = 0
        self._loop = loop
        # Executions when it was looked at, and since when there are no more.
        self._watched: tuple[int, float] | None = None

    @property
    def stuck(self) -> bool:
        """Whether nothing more can happen to it: its event loop is closed."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def on_loop(self) -> bool:
        """Whether it runs on an event loop."""
        return self._loop is not None

    def watch(self) -> None:
        """Look whether a call goes on beyond its budget, and for a second, while it is busy."""
        if self._watched is None:
            # Its event loop did not come to it yet.
            return
        count, now = self.hook._figures()["count"], time.monotonic()
        if count != self._watched[0]:
            self._watched = count, now
        elif now - self._watched[1] > max(self.hook.budget_s, _HANGS_S) and not self.hangs:
            self.hangs = True
            self.hook.overdue()

    def given_to_thread(self) -> None:
        """A thread is about to have a chunk of it."""
        self.busy, self._watched = True, (self.hook._figures()["count"], time.monotonic())

    def deliver(self, changes: list[Change], end: int, wake: Callable[[], None]) -> None:
        """Give the hook what it wants of these changes, which come right behind its position and go up to `end`.

        Afterwards `position` is where it came to; with an event loop, once `busy` is over.
        """
        if self.whole_batches:
            given, too_deep, end = self._batches(changes)
            picked = given[-1].changes if given else []
        else:
            picked, depths, too_deep = _core.hook_pick(self.hook.filter, changes, self._operations, DEPTH_MAX)
            given = [_Given(picked, max(depths))] if picked and self._batch else []
        if picked:
            self.unkept = self.keeper is not None
            if self._loop is not None:
                self._send(given or list(map(_Given.one, picked, depths)), end, too_deep, wake)
                return
            if given:
                self._run(given)
            else:
                self._run_each(picked, depths)
            if self.position < picked[-1].version:
                return
        self._came_to(end, too_deep)

    def _batches(self, changes: list[Change]) -> tuple[list[_Given], int, int]:
        """The batches of more than one record that it is for, how many are too deep, and how far that goes."""
        found, too_deep, batch = list[_Given](), 0, list[Change]()
        for change in changes:
            batch.append(change)
            if change.in_batch:
                continue
            if len(batch) > 1:
                picked, depths, beyond = _core.hook_pick(self.hook.filter, batch, ("set", "delete"), DEPTH_MAX)
                if picked:
                    found.append(_Given(batch, max(depths)))
                else:
                    too_deep += beyond > 0
            batch = []
        # One that is not read to its end is read again, whole.
        return found, too_deep, batch[0].version - 1 if batch else changes[-1].version

    def _came_to(self, end: int, too_deep: int = 0) -> None:
        self.position = end
        self.too_deep_count += too_deep

    def _run_each(self, picked: list[Change], depths: list[int]) -> None:
        index = 0
        while index < len(picked):
            self.inside = threading.get_ident()
            try:
                done, answer, ns = _core.hook_deliver(self.hook, picked, depths, index)
            finally:
                self.inside = None
            if done:
                # In the order in which they were: what comes now is behind them.
                self.rows += self.hook._take_notes()
                self.position, self._attempts = picked[index + done - 1].version, 0
                index += done
            if index == len(picked):
                return
            given = _Given.one(picked[index], depths[index])
            if answer is not None:
                if not self._settle(given, answer, ns):
                    return
            else:
                # Its breaker is not closed.
                self._run([given])
                if self.position < given.changes[-1].version:
                    return
            index += 1

    def _run(self, wanted: list[_Given]) -> None:
        self.inside = threading.get_ident()
        try:
            for given in wanted:
                if not self._may_run():
                    return
                begun = time.perf_counter_ns()
                answer: Any
                try:
                    answer = _core.hook_call(self.hook, given.what(self._batch), given.origin())
                # SystemExit, too, must not end the thread that delivers to all.
                except BaseException as error:
                    answer = error
                ns = time.perf_counter_ns() - begun
                if not self._settle(given, answer, ns):
                    return
        finally:
            self.inside = None

    def _send(self, wanted: list[_Given], end: int, too_deep: int, wake: Callable[[], None]) -> None:
        assert self._loop is not None

        async def run() -> None:
            # The task's own context: nothing else sees it.
            var = _core.correlation_var()
            self._watched = -1, time.monotonic()
            for given in wanted:
                if not self._may_run():
                    return
                var.set(given.origin())
                begun = time.perf_counter_ns()
                answer: Any
                try:
                    answer = await self.hook.call(given.what(self._batch))
                except BaseException as error:
                    if _of_the_loop(error):
                        self.hook.breaker.abandoned()
                        raise
                    answer = error
                if not self._settle(given, answer, time.perf_counter_ns() - begun):
                    return
            self._came_to(end, too_deep)

        def done(future: Future[None]) -> None:
            self.hangs = self.busy = False
            wake()

        self.busy, self._watched = True, None
        running = run()
        try:
            asyncio.run_coroutine_threadsafe(running, self._loop).add_done_callback(done)
        except RuntimeError:
            # The loop is closed.
            running.close()
            self.busy = False

    def _may_run(self) -> bool:
        if not self.hook.enabled:
            # It was switched off, or unregistered, in the middle of what it was given.
            return False
        if self.hook._free or self.hook._admit():
            return True
        self.not_before = time.monotonic() + max(self.hook.breaker.retry_in_s, 0.001)
        return False

    def _settle(self, given: _Given, answer: Any, ns: int) -> bool:
        """Count an execution; whether the next change may be given."""
        version = given.changes[-1].version
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
            self.rows.append((version, -(-ns // 1000), outcome, given.changes[-1].digest))
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


def _of_the_loop(error: BaseException) -> bool:
    """Whether it ends the task, or the loop, and says nothing of the hook."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        # One that the hook came by itself, as of a future that was cancelled, is a failure as any other.
        return task is None or task.cancelling() > 0
    return isinstance(error, KeyboardInterrupt | GeneratorExit)
