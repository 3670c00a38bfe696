"""What the async twins wait with.

asyncio is a quarter of the time that importing the package would take, and many programs do without: it is imported
with the first wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


async def durable(store: Any, version: int) -> None:
    """Wait until `version` of the store is durable."""
    from spellkeep._waiting import wait_durable

    await wait_durable(store, version)


async def in_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call in a thread of its own, and wait for the result."""
    import asyncio

    return await asyncio.to_thread(call, *args, **kwargs)


def take(items: Iterator[T], count: int) -> list[T]:
    """The next `count` items, or as many as there are."""
    return list(islice(items, count))
