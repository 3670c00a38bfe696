"""Events: records that say that something happened, and change nothing that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from spellkeep import _core
from spellkeep.correlation import caused_by
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["Events"]


class Events(_core.Events):
    """The events of a store: ``state.events``.

    An event has a type, data, a scope, a version and a time, and says where it comes from as every record does. It is
    part of ``changes()`` as long as the log goes back to it (``keep_log_bytes``, ``keep_log_days``), and of nothing
    else.
    """

    def __new__(cls, store: StateManager) -> Self:
        """The events of `store`. Use ``state.events``."""
        return super().__new__(cls, store)

    def __init__(self, store: StateManager) -> None:
        self._store = store

    def emit(
        self, type: str, data: Any = None, *, scope: StateScope = StateScope.GLOBAL, cause: int | None = None
    ) -> int:
        """Record that something happened; return the version of the event.

        Args:
            type: what: named as a key is, such as ``plan.made``.
            data: any value that can be stored.
            cause: the version of the record or event that caused it; else what `correlate` or ``span`` says.
        Raises: as ``set``.
        Cost: as ``set``.
        """
        return self._emit(scope, type, data, cause, True)

    async def aemit(
        self, type: str, data: Any = None, *, scope: StateScope = StateScope.GLOBAL, cause: int | None = None
    ) -> int:
        """As ``emit``, without blocking the event loop."""
        return await self._store._acknowledged(self._emit(scope, type, data, cause, False))

    @contextmanager
    def span(
        self, type: str, data: Any = None, *, scope: StateScope = StateScope.GLOBAL, cause: int | None = None
    ) -> Iterator[int]:
        """Emit an event, and let everything that is written in the block be caused by it.

        ``with state.events.span("tool.called", {"tool": "search"}) as version: ...``

        Returns: the version of the event.
        Raises: as ``emit``, on entering.
        """
        version = self.emit(type, data, scope=scope, cause=cause)
        with caused_by(version):
            yield version

    def __repr__(self) -> str:
        return f"<Events of {self._store.path!r}>"
