"""What the saver and the store have in common: a Spellkeep store that they were given, or opened."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import spellkeep
from spellkeep import StateManager


class Owner:
    """On an open store, which stays the caller's to close unless `from_conn_string` opened it."""

    _state: StateManager
    _owned = False

    @classmethod
    def from_conn_string(cls, conn_string: str, **options: Any) -> Self:
        """One on the store in a directory, or ``":memory:"``; ``with`` and ``async with`` close it."""
        state = spellkeep.open("memory:" if conn_string == ":memory:" else conn_string)
        owner = cls(state, **options)  # type: ignore[call-arg]
        owner._owned = True
        return owner

    @property
    def state(self) -> StateManager:
        """The Spellkeep store."""
        return self._state

    def setup(self) -> None:
        """Nothing is to be set up; LangGraph's other savers and stores have this call."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owned:
            self._state.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._owned:
            await self._state.aclose()
