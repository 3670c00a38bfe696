"""Waiting for durability on an event loop: one wake-up per group commit, whoever waits."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import socket
import threading
import weakref

from spellkeep import _core

__all__ = ["wait_durable"]


class _Waiter:
    """The futures of one event loop that wait for versions of one store."""

    def __init__(self, store: _core.Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = weakref.ref(store)
        self._pending: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._socket, writing = socket.socketpair()
        with writing:
            self._socket.setblocking(False)
            store._add_waker(writing.fileno())
        loop.add_reader(self._socket.fileno(), self._on_wake)

    async def wait(self, store: _core.Store, version: int) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._pending, (version, next(self._order), future))
        store._request_sync()
        self._settle(store)
        await future

    def _on_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._socket.recv(4096)
        store = self._store()
        if store is not None:
            self._settle(store)

    def _settle(self, store: _core.Store) -> None:
        durable = store.durable_version
        while self._pending and self._pending[0][0] <= durable:
            future = heapq.heappop(self._pending)[2]
            if not future.done():
                future.set_result(None)
        try:
            store._check_poison()
        except Exception as poisoned:
            for _, _, future in self._pending:
                if not future.done():
                    future.set_exception(poisoned)
            self._pending.clear()


_waiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[_core.Store, _Waiter]] = (
    weakref.WeakKeyDictionary()
)
_making = threading.Lock()


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
