"""Batches: all or nothing."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from spellkeep import _core

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["Batch"]


class Batch(_core.Batch):
    """Operations that are committed as one: all or none, after a crash too.

    As a context manager it commits at the end of the block, unless ``commit`` was called in it, and drops everything
    when the block raises. Of several operations on one key the last one holds, with the first ``if_version`` given.
    Values are encoded when they are added. A conflict writes nothing and leaves the batch as it is.
    """

    def __new__(cls, store: StateManager) -> Self:
        """A batch for `store`. Use ``state.batch()``."""
        return super().__new__(cls, store)

    def __init__(self, store: StateManager) -> None:
        self._store = store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        elif self.versions is None:
            self.commit()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        elif self.versions is None:
            await self.acommit()

    async def acommit(self) -> int:
        """As ``commit``, without blocking the event loop."""
        version = self.commit(acknowledge=False)
        if version:
            await self._store._acknowledged(version)
        return version

    def __repr__(self) -> str:
        done = "committed" if self.versions is not None else "open"
        return f"<Batch of {len(self)} {'operation' if len(self) == 1 else 'operations'}, {done}>"
