"""The thread that gives committed changes to after-hooks, and keeps positions and history."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

from spellkeep._async import take
from spellkeep._hooks import positions_of
from spellkeep.batch import Batch
from spellkeep.breaker import BreakerState
from spellkeep.changes import Change, Changes
from spellkeep.errors import Closed, Forked, LimitExceeded, StateError
from spellkeep.hooks.delivery import Delivery
from spellkeep.hooks.hand import Hand
from spellkeep.hooks.keeping import HistoryKeeper
from spellkeep.hooks.log import HOOKS, POSITIONS, HookLog, Row
from spellkeep.hooks.registered import Registered
from spellkeep.hooks.retention import retention_of

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# So many changes are read ahead at most.
_CHUNK = 1_024
# A position is stored without a delivery after so many versions that were nothing for the hook.
_STORE_AFTER = 10_000
_POLL_S = 0.02
_IDLE_S = 0.05
_CURSORS_MAX = 8
_CLOSE_S = 5.0
# One that takes longer with what it was given does it in a thread of its own, and the others go on.
_PATIENCE_S = 0.1


class _Feed:
    """Changes behind any position. Hooks that stand at the same one share what is read."""

    def __init__(self) -> None:
        self._cursors: dict[int, Changes] = {}
        self._last: tuple[int, list[Change], bool] = (-1, [], False)
        # Whether a batch is read to its end, however long it is.
        self.whole = False

    def read(self, state: StateManager, position: int) -> list[Change]:
        """The next changes behind `position`; none: there are none yet."""
        since, changes, whole = self._last
        if since == position and whole >= self.whole:
            return changes
        whole = self.whole
        cursor = self._cursors.pop(position, None)
        if cursor is None:
            cursor = state.changes(since=position)
        changes = take(cursor, _CHUNK)
        while whole and changes and changes[-1].in_batch and (more := take(cursor, _CHUNK)):
            changes += more
        end = changes[-1].version if changes else position
        while len(self._cursors) >= _CURSORS_MAX:
            self._cursors.pop(next(iter(self._cursors)))
        self._cursors[end] = cursor
        if changes:
            self._last = (position, changes, whole)
        return changes


class Consumer:
    """Begins with its first hook, ends with the store."""

    def __init__(self, state: StateManager) -> None:
        # Not the store itself: it may be collected although nobody closed it.
        self._state = weakref.ref(state)
        self._deliveries: dict[str, Delivery] = {}
        self._noted: dict[str, Registered] = {}
        # What was last told of their breakers.
        self._told: dict[str, tuple[BreakerState, int]] = {}
        self._logs: dict[str, HookLog] = {}
        self._lock = threading.Lock()
        self._moved = threading.Condition(self._lock)
        self._wakened = threading.Event()
        self._rounds_count = 0
        self._unwritten = False
        self._stop_at: float | None = None
        self._feed = _Feed()
        self._unregistered = positions_of(state)
        self._keepers: dict[str, HistoryKeeper] = {}
        # Executions that could not be written yet.
        self._pending: dict[str, tuple[list[Row], dict[int, str]]] = {}
        self._thread = threading.Thread(target=self._work, name="spellkeep-hooks", daemon=True)
        self._hand: Hand | None = None
        self.last_error: str | None = None
        self.left: dict[str, int] = {}

    def add(self, hook: Registered, delivery: Delivery | None, log: HookLog) -> None:
        """Take a hook: one that changes are delivered to, or whose executions are only noted."""
        with self._lock:
            self._logs[hook.name] = log
            self._keepers[hook.name] = HistoryKeeper(hook.name, log)
            self._noted[hook.name] = hook
            if delivery is not None:
                self._deliveries[hook.name] = delivery
                self._feed.whole |= delivery.whole_batches
            if not self._thread.is_alive() and self._stop_at is None:
                self._thread.start()
        self._wakened.set()

    def remove(self, name: str) -> None:
        """Deliver nothing more to it."""
        with self._lock:
            if (each := self._deliveries.get(name)) is not None:
                self._unregistered[name] = each.stored_position
            for known in (self._deliveries, self._noted, self._told, self._logs, self._pending, self._keepers):
                known.pop(name, None)
            self._moved.notify_all()

    def hold(self, state: StateManager) -> None:
        """Let checkpoints let go of what every hook has, those among them that are not registered (yet)."""
        state._hold_log(
            min(
                [
                    *(position for name, position in self._unregistered.items() if name not in self._deliveries),
                    *(each.stored_position for each in list(self._deliveries.values())),
                ],
                default=None,
            )
        )

    def forget(self, name: str) -> None:
        """Nobody waits for what this one has not read."""
        self._unregistered.pop(name, None)

    def delivery(self, name: str) -> Delivery | None:
        """Where a hook stands."""
        return self._deliveries.get(name)

    def log(self, name: str) -> HookLog | None:
        """The history of a hook."""
        return self._logs.get(name)

    @property
    def position(self) -> int | None:
        """The version up to which everything was delivered to all; None: there is nobody to deliver to."""
        return min((each.position for each in list(self._deliveries.values()) if each.hook.enabled), default=None)

    def drain(self, version: int, timeout_s: float) -> bool:
        """Wait until everything up to `version` was delivered and is stored as such; whether that is so."""
        if threading.get_ident() in {self._thread.ident, *(each.inside for each in self._deliveries.values())}:
            raise RuntimeError("a hook waits for itself")
        # One round may be going on; the one behind it writes down what before-hooks did until now.
        through = self._rounds_count + 2
        self._wakened.set()
        with self._moved:
            return self._moved.wait_for(lambda: self._is_through(version, through), timeout_s)

    def _is_through(self, version: int, rounds_count: int) -> bool:
        if self._rounds_count < rounds_count:
            return False
        waiting = [each for each in self._deliveries.values() if each.hook.enabled and not each.stuck]
        through = (each.position >= version and not (each.rows or each.busy or each.unkept) for each in waiting)
        return all(through) and not any(rows for rows, _ in list(self._pending.values()))

    def end(self, version: int) -> None:
        """Deliver what can be delivered soon, store where everybody stands, and end the thread."""
        if self._thread.is_alive():
            self._finish(version)
        behind = {name: version - each.stored_position for name, each in list(self._deliveries.items())}
        self.left = {name: count for name, count in behind.items() if count > 0}

    def _finish(self, version: int) -> None:
        here = threading.get_ident()
        # A hook does not wait for itself.
        if here not in {self._thread.ident, *(each.inside for each in self._deliveries.values())}:
            self._still(version)
        self._stop_at = time.monotonic()
        self._wakened.set()
        if here != self._thread.ident:
            self._thread.join(_CLOSE_S)

    def _still(self, version: int) -> None:
        """Wait while something moves: a hook that is held back, or hangs, is no reason to wait for."""
        until = time.monotonic() + _CLOSE_S

        def over() -> bool:
            now = time.monotonic()
            waiting = [
                each
                for each in self._deliveries.values()
                if each.hook.enabled and not (each.stuck or each.hangs)
                if each.not_before <= now + 0.1 and each.position < version
            ]
            return not waiting or now >= until or not self._thread.is_alive()

        self._wakened.set()
        with self._moved:
            while not over():
                self._moved.wait(_POLL_S)

    # The thread.

    def _work(self) -> None:
        try:
            self._rounds()
        finally:
            if self._hand is not None:
                self._hand.end()

    def _rounds(self) -> None:
        while True:
            stopping = self._stop_at is not None
            state = self._state()
            if state is None:
                return
            try:
                moved = False if stopping else self._round(state)
                self._unwritten = True
                self._store(state, everything=stopping)
                self._unwritten = False
                self._tell_breakers(state)
                if not stopping:
                    self._tidy(state)
            except (Closed, Forked):
                return
            except StateError as error:
                # The disk is full, or worse; writers hear of it themselves.
                self.last_error = error.code
                moved = False
            finally:
                with self._moved:
                    self._rounds_count += 1
                    self._moved.notify_all()
            if stopping:
                return
            if not moved and not self._wakened.is_set():
                self._rest(state)
            self._wakened.clear()
            del state

    def _rest(self, state: StateManager) -> None:
        deliveries = list(self._deliveries.values())
        if any(each.busy or each.not_before > time.monotonic() for each in deliveries):
            self._wakened.wait(_POLL_S)
            return
        # What wakes the thread otherwise does not end this wait, so it is short.
        read = max((each.position for each in deliveries if each.hook.enabled), default=state.last_version)
        with suppress(Closed, Forked):
            state._wait_changes(max(read, state.last_version), _IDLE_S)

    def _round(self, state: StateManager) -> bool:
        moved = False
        for each in list(self._deliveries.values()):
            if self._stop_at is not None:
                break
            if each.busy:
                each.watch()
            if each.busy or not each.hook.enabled or each.not_before > time.monotonic():
                continue
            # What it learns more could not be written either.
            if each.keeper is not None and self._unwritten:
                continue
            before = each.position
            try:
                changes = self._feed.read(state, before)
            except LimitExceeded:
                # The log no longer goes back that far: on with the oldest there is.
                oldest = next(iter(state.changes()), None)
                each.position = state.last_version if oldest is None else oldest.version - 1
                each.dropped_count += max(each.position - before, 0)
                moved = True
                continue
            # It may have been switched off while they were read.
            if changes and each.hook.enabled:
                if each.on_loop:
                    each.deliver(changes, changes[-1].version, self._wakened.set)
                else:
                    self._hand_over(each, changes)
                moved = moved or each.position > before or each.busy
        return moved

    def _hand_over(self, each: Delivery, changes: list[Change]) -> None:
        """Deliver in another thread, so that a hook that hangs has only that one."""
        wake = self._wakened.set

        def deliver() -> None:
            try:
                each.deliver(changes, changes[-1].version, wake)
            finally:
                each.hangs = each.busy = False
                wake()

        each.given_to_thread()
        try:
            self._hand = self._hand or Hand()
        except RuntimeError:
            # At the end of the interpreter there are no more threads.
            deliver()
            return
        if not self._hand.do(deliver, _PATIENCE_S):
            self._hand = None

    def _tidy(self, state: StateManager) -> None:
        for name, keeper in list(self._keepers.items()):
            if not keeper.due:
                continue
            try:
                keeper.turn(state, retention_of(state))
            except StateError:
                raise
            except Exception:
                # What cannot be compressed stays as it is; hooks are given their changes all the same.
                self._keepers.pop(name, None)
                sys.excepthook(*sys.exc_info())

    def _tell_breakers(self, state: StateManager) -> None:
        """An event for each breaker that opened, lets probes through, or closed."""
        for name, hook in list(self._noted.items()):
            now = (hook.breaker.state, hook.breaker.opened_count)
            if now != self._told.get(name, ("closed", 0)):
                said = {"hook": name, "state": now[0], "opened_count": now[1]}
                state.events.emit("hook.breaker", said, scope=HOOKS)
                self._told[name] = now

    def _store(self, state: StateManager, *, everything: bool = False) -> None:
        """Positions and executions since the last time, of all hooks, in one batch."""
        batch, logs, written = Batch(state), list[tuple[HookLog, bool]](), list[str]()
        stored = list[tuple[Delivery, int]]()
        try:
            for name, hook in list(self._noted.items()):
                each, log = self._deliveries.get(name), self._logs.get(name)
                if log is None or (each is not None and each.busy):
                    continue
                rows, errors = self._pending.setdefault(name, ([], {}))
                if each is not None:
                    errors.update((len(rows) + index, error) for index, error in each.errors.items())
                    rows += each.rows
                    each.rows, each.errors = [], {}
                rows += hook._take_notes()
                moved = 0 if each is None else each.position - each.stored_position
                unkept = each is not None and each.unkept
                if not (rows or unkept) and moved < (1 if everything else _STORE_AFTER):
                    continue
                log.lock.acquire()
                logs.append((log, bool(rows)))
                written.append(name)
                if rows:
                    log.add(batch, rows, errors)
                position = None if each is None else each.position
                batch.set(HOOKS, POSITIONS + name, {"version": position, "figures": hook.stored_figures()})
                for kept in each.keeper.keep() if each is not None and each.keeper is not None else ():
                    batch.set(*kept)
                if each is not None:
                    stored.append((each, each.position))
            if len(batch):
                # What cannot be written stays pending.
                batch.commit()
                for log, has_rows in logs:
                    if has_rows:
                        log.written()
                for name in written:
                    # What others could not write, and are too busy to write now, stays.
                    self._pending.pop(name, None)
                for each, position in stored:
                    each.stored_position, each.unkept = position, False
                    if each.keeper is not None:
                        each.keeper.kept()
                if stored:
                    self.hold(state)
        finally:
            for log, _ in logs:
                log.lock.release()
