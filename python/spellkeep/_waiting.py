"""Waiting for durability on an event loop: one wake-up per group commit, whoever waits."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import socket
import threading
import weakref

from spellkeep import _core
from spellkeep.errors import Closed, StateError

__all__ = ["wait_durable"]


class _Waiter:
    """The futures of one event loop that wait for versions of one store."""

    def __init__(self, store: _core.Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = weakref.ref(store)
        self._pending: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        reading, writing = socket.socketpair()
        with writing:
            reading.setblocking(False)
            store._add_waker(writing.fileno())
        # Nobody tells when a loop is closed: the descriptor lives as long as this object, which goes with the loop.
        self._fd = reading.detach()
        loop.add_reader(self._fd, self._on_wake)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    async def wait(self, store: _core.Store, version: int) -> None:
        # A store that is being closed syncs everything by itself.
        with contextlib.suppress(Closed):
            store._request_sync()
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._pending, (version, next(self._order), future))
        self._settle(store)
        await future

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(self._fd, 4096):
                # The store is gone. A descriptor at its end stays readable, and the loop would never sleep again.
                asyncio.get_running_loop().remove_reader(self._fd)
                return
        store = self._store()
        if store is not None:
            self._settle(store)

    def _settle(self, store: _core.Store) -> None:
        durable = store.durable_version
        while self._pending and (self._pending[0][0] <= durable or self._pending[0][2].done()):
            future = heapq.heappop(self._pending)[2]
            if not future.done():
                future.set_result(None)
        while self._pending and (poisoned := _poison_of(store)) is not None:
            future = heapq.heappop(self._pending)[2]
            if not future.done():
                future.set_exception(poisoned)


def _poison_of(store: _core.Store) -> StateError | None:
    """An error for one waiter, when nothing more becomes durable."""
    try:
        store._check_poison()
    except StateError as poisoned:
        return poisoned
    return None


_waiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[_core.Store, _Waiter]] = (
    weakref.WeakKeyDictionary()
)
_making = threading.Lock()


def _begin_anew() -> None:
    """In a forked child: the waiters are the parent's, and the lock may be held by a thread that is not there."""
    global _making
    _making = threading.Lock()
    _waiters.clear()


os.register_at_fork(after_in_child=_begin_anew)


async def wait_durable(store: _core.Store, version: int) -> None:
    """Return once `version` and all before it are durable, without blocking the running loop.

    Raises: Poisoned (store.poisoned) when they will not become so; Closed, Forked.
    """
    if store.durable_version >= version:
        return
    loop = asyncio.get_running_loop()
    with _making:
        waiters = _waiters.setdefault(loop, weakref.WeakKeyDictionary())
        waiter = waiters.get(store)
        if waiter is None:
            waiter = waiters[store] = _Waiter(store, loop)
    await waiter.wait(store, version)
