"""Saving any agent object by itself: on pause, stop, resume, load, by time, by messages, at exit and on SIGTERM."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from spellkeep.agent import exits
from spellkeep.agent.background import ASKED, BY_ITSELF, FORCED, Background
from spellkeep.agent.freezing import Clock
from spellkeep.agent.options import DEVELOPMENT, MINIMAL, PRODUCTION, TESTING, AutoSaveOptions
from spellkeep.agent.persistent import PersistentAgent
from spellkeep.errors import Busy, Closed, Forked, ReadOnly

if TYPE_CHECKING:
    from spellkeep.store import StateManager


class AutoSave(Background):
    """Saves an agent object, a `PersistentAgent`, whenever its options say so.

    ``with AutoSave(state, agent) as saves:`` or ``async with``; ``saves.notify()`` after each new message, and
    ``saves.mark_dirty()`` after any other change. Storing, waiting and trying again happen in a thread of its own.

    **Which thread calls get_state().** Without `lock`, only the thread that calls a method of the AutoSave does, inside
    of that call: call them where the state is whole, from the thread of the agent. Saves by time are then made by the
    first ``notify`` or ``mark_dirty`` after the time has come; in ``async with`` by the event loop, between two of its
    callbacks. With a `lock`, the AutoSave's own thread calls it, holding the lock, exactly when it is time, and no call
    of ``notify`` or ``mark_dirty`` ever does: the agent holds the lock while it changes, and not while it calls
    ``save``, ``pause``, ``resume`` or ``stop``, which wait for that thread. A get_state() that any thread may call at
    any time takes ``lock=contextlib.nullcontext()``.

    What get_state() gave is encoded before the call returns, so that later changes do not reach into the save.

    **Failures.** A save that failed in the background is raised by the next call, unless a later one has succeeded
    since. StorageFailed and Conflict are tried again, with random waits that grow; all others are not. After Poisoned,
    Closed, Forked and ReadOnly nothing is tried any more, and every call raises them.
    """

    development: ClassVar[AutoSaveOptions] = DEVELOPMENT
    production: ClassVar[AutoSaveOptions] = PRODUCTION
    testing: ClassVar[AutoSaveOptions] = TESTING
    minimal: ClassVar[AutoSaveOptions] = MINIMAL

    def __init__(
        self,
        state: StateManager,
        agent: PersistentAgent,
        options: AutoSaveOptions = PRODUCTION,
        *,
        lock: AbstractContextManager[Any] | None = None,
        clock: Clock | None = None,
        **changes: Any,
    ) -> None:
        """Nothing is saved before it is started.

        Args:
            options: ``AutoSave.production``, ``development``, ``testing``, ``minimal``, or your own.
            lock: what the agent holds while it changes. See above.
            changes: options by name that differ from `options`.
        Raises: TypeError when `agent` is no `PersistentAgent`; LimitExceeded (autosave.option); ReadOnly; InvalidKey.
        """
        if not isinstance(agent, PersistentAgent):
            raise TypeError(f"an agent has agent_id, get_state() and set_state(), and a {type(agent).__name__} has not")
        if state.read_only:
            raise ReadOnly("the store was opened to be looked at only", code="store.read_only")
        super().__init__(state, agent, replace(options, **changes), lock, clock)
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._stop_lock = threading.Lock()

    # Its life.

    def start(self) -> Self:
        """Begin. Once; ``with`` does it."""
        if self._thread is not None or self._stopped:
            raise RuntimeError("an AutoSave is started once")
        self._check_usable()
        self._put_off()
        self._thread = threading.Thread(target=self._work, name=f"autosave {self._agent_id}", daemon=True)
        self._thread.start()
        exits.add(self)
        return self

    def stop(self) -> int:
        """Save, and end; return the version, 0 when nothing differed or it was ended already.

        It has ended also when it raises: what could not be saved is not tried again.
        """
        self._check_process()
        with self._stop_lock:
            if self._stopped:
                return 0
            self._stopping = True
            future = None
            try:
                self._check(ask=True)
                future = self._request(FORCED)
                return self._wait(future)
            finally:
                self._end(future)

    async def astop(self) -> int:
        """As ``stop``, without blocking the event loop."""
        self._check_process()
        if self._stopping:
            return 0
        self._stopping = True
        future = None
        try:
            self._check(ask=True)
            future = self._request(FORCED)
            return await self._await(future)
        finally:
            self._end(future)

    def _end(self, future: Future[int] | None) -> None:
        self._stopped = True
        exits.remove(self)
        self._wake()
        # One that hangs is left behind, and does not keep the process from ending.
        if self._thread is not None and future is not None and future.done():
            self._thread.join(self.options.timeout_s)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except Exception as failure:
            self._raise_beside(failure, error)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.astop()
        except Exception as failure:
            self._raise_beside(failure, error)

    def _raise_beside(self, failure: Exception, error: BaseException | None) -> None:
        if error is None or isinstance(error, Exception):
            raise failure
        # The end of a task or of the process is not turned into something else.
        error.add_note(f"and {self._agent_id!r} could not be saved: {type(failure).__name__}: {failure}")

    # What the agent calls.

    def notify(self, message_count: int = 1) -> None:
        """Tell of new messages; saves in the background once there are enough of them, or the time has come.

        Raises: what an earlier save failed with; what get_state() raises; NotSerializable, LimitExceeded (value.*);
            Poisoned; Closed, Forked. The change is counted all the same.
        """
        with self._lock:
            self._changes += 1
            self._new_messages += message_count
        self._check()
        count = self.options.message_count
        due = self._asked or (count is not None and self._new_messages >= count) or self._is_time()
        if not due or self._paused:
            return
        if self._agent_lock is not None:
            self._asked = True
            self._wake()
        elif self._inside != threading.get_ident():
            self._freeze(BY_ITSELF)

    def mark_dirty(self) -> None:
        """Tell that something else changed. As ``notify``, without a message."""
        self.notify(0)

    def save(self) -> int:
        """Save now, and wait for it; return the version, 0 when nothing differs.

        Raises: what the save failed with; Busy (autosave.busy) when it takes longer than ``timeout_s``, and goes on.
        """
        self._check(ask=True)
        return self._wait(self._request(ASKED))

    async def asave(self) -> int:
        """As ``save``, without blocking the event loop."""
        self._check(ask=True)
        return await self._await(self._request(ASKED))

    def pause(self) -> int:
        """As ``save``; from then on nothing is saved by time or messages before ``resume``."""
        self._paused = True
        return self.save()

    async def apause(self) -> int:
        """As ``pause``, without blocking the event loop."""
        self._paused = True
        return await self.asave()

    def resume(self) -> int:
        """End a pause, and save; return the version, 0 when nothing differs."""
        self._paused = False
        return self.save()

    async def aresume(self) -> int:
        """As ``resume``, without blocking the event loop."""
        self._paused = False
        return await self.asave()

    def load(self) -> bool:
        """Make the agent what is saved, and save what ``set_state`` made of it; whether anything was saved.

        Without it the agent stays as it is. What it was before and did not save is gone.
        """
        if loaded := self._load():
            self.save()
        return loaded

    async def aload(self) -> bool:
        """As ``load``, without blocking the event loop."""
        if loaded := self._load():
            await self.asave()
        return loaded

    def _load(self) -> bool:
        self._check(ask=True)
        stored = self._state.load_agent_state(self._agent_id)
        if stored is None:
            return False
        with self._agent_lock or nullcontext():
            self.agent.set_state(stored)
        return True

    def __repr__(self) -> str:
        how = "stopped" if self._stopped else "paused" if self._paused else "dirty" if self.dirty else "saved"
        return f"<AutoSave of {self._agent_id!r}, {how}>"

    # Checks, and waiting.

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise Forked("the AutoSave belongs to the parent process; make another here", code="autosave.forked")

    def _check_usable(self) -> None:
        self._check_process()
        if self._broken is not None:
            raise copy.copy(self._broken) from self._broken
        if self._stopped:
            raise Closed("the AutoSave was stopped", code="autosave.stopped")
        self._state._check_open()
        self._state._check_poison()

    def _check(self, ask: bool = False) -> None:
        self._check_usable()
        self._owner = threading.get_ident()
        if self._thread is None:
            raise RuntimeError("the AutoSave was not started: use it with `with`, or call start()")
        if not ask:
            with self._lock:
                failure, self._failure = self._failure, None
            if failure is not None:
                raise failure

    def _wait(self, future: Future[int]) -> int:
        try:
            return self._surfaced(future, self.options.timeout_s)
        except TimeoutError:
            # What get_state() or the store raised may be one as well.
            if future.done():
                raise
        raise self._busy()

    async def _await(self, future: Future[int]) -> int:
        wrapped = asyncio.wrap_future(future)
        # Read below, or, when nobody waits any more, by the next call.
        wrapped.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait([wrapped], timeout=self.options.timeout_s)
        if not future.done():
            raise self._busy()
        return self._surfaced(future, 0)

    def _surfaced(self, future: Future[int], timeout_s: float) -> int:
        try:
            return future.result(timeout_s)
        except BaseException as error:
            with self._lock:
                if self._failure is error:
                    self._failure = None
            raise

    def _busy(self) -> Busy:
        detail = f"{self._agent_id!r} is not saved after {self.options.timeout_s:g} s: get_state() or the disk hangs"
        return Busy(detail, code="autosave.busy")
