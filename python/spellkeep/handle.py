"""A handle on one scope: the fast path, and a mutable mapping."""

from __future__ import annotations

from collections.abc import AsyncIterator, ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

from spellkeep import _core
from spellkeep.changes import Change, Entry, StateClass, entry_from_parts
from spellkeep.errors import Conflict, KeyMissing

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["ScopeHandle"]

_MISSING = object()


class _Items(ItemsView[str, Any]):
    """The items of a handle; iteration goes over those of the moment when it began."""

    _mapping: ScopeHandle

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping.iter_items()

    def __contains__(self, item: object) -> bool:
        # The inherited one asks for the value under things that cannot be keys.
        return isinstance(item, tuple) and len(item) == 2 and item[0] in self._mapping and super().__contains__(item)


class _Values(ValuesView[Any]):
    """The values of a handle; iteration goes over those of the moment when it began."""

    _mapping: ScopeHandle

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.iter_items())

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)


class ScopeHandle(_core.ScopeHandle, MutableMapping[str, Any]):
    """One scope of one store as a mutable mapping. Made by ``state.scope(scope)``.

    ``handle[key]``, ``handle[key] = value``, ``del``, ``in``, ``len``, iteration in key order, ``get``, ``pop``,
    ``setdefault``, ``update`` (one atomic batch), ``clear`` (one record). ``set`` returns the version and takes
    ``if_version``. Iteration, over ``items()`` and ``values()`` too, goes over what there was when it began.
    """

    store: StateManager

    def entry(self, key: str) -> Entry:
        """The value under `key` with its version, time and class.

        Raises: KeyMissing (key.missing); InvalidKey; Closed, Forked.
        """
        return entry_from_parts(self._entry_parts(key), key)

    def history(self, key: str, *, limit: int = 100) -> list[Change]:
        """The last changes of one key, newest first. See ``StateManager.history``."""
        return self.store.history(self.scope, key, limit=limit)

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_keys())

    def items(self) -> ItemsView[str, Any]:
        """A view of keys and values, in key order."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """A view of the values, in key order."""
        return _Values(self)

    def __contains__(self, key: object) -> bool:
        try:
            return self.exists(key)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            # What cannot be a key is not there, as in a dict.
            return False

    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Remove `key` and return its value, or `default`. Two callers never get the same value."""
        while True:
            parts = self._entry_parts(key)
            if parts is None:
                if default is _MISSING:
                    raise KeyMissing(f"nothing is stored under {key!r}", code="key.missing")
                return default
            try:
                self.delete(key, if_version=parts[1])
            except Conflict:
                continue
            return parts[0]

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the first key in order, with its value.

        Raises: KeyMissing (key.missing) when the scope is empty.
        """
        while True:
            key = next(iter(self), None)
            if key is None:
                raise KeyMissing(f"{self.scope} is empty", code="key.missing")
            value = self.pop(key, _MISSING)
            if value is not _MISSING:
                return key, value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under `key`; `default`, stored, when there was none. Two callers agree on one value."""
        while True:
            found = self.get(key, _MISSING)
            if found is not _MISSING:
                return found
            try:
                self.set(key, default, if_version=0)
            except Conflict:
                continue
            return default

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store every item of a mapping or of pairs, in one atomic batch."""
        with self.store.batch() as batch:
            for key, value in dict(other, **more).items():
                batch.set(self.scope, key, value)

    def clear(self) -> None:
        """Remove every key with one record."""
        self.store.clear_scope(self.scope)

    def __repr__(self) -> str:
        count = len(self)
        return f"<ScopeHandle {self.scope} of {self.store.path!r}, {count} {'key' if count == 1 else 'keys'}>"

    def __reduce__(self) -> Any:
        raise TypeError("a handle cannot be pickled: open the store again where it is needed")

    # async twins

    async def aset(self, key: str, value: Any, *, if_version: int | None = None) -> int:
        """As ``set``, without blocking the event loop."""
        return await self.store._acknowledged(self._set_unacknowledged(key, value, if_version=if_version))

    async def aget(self, key: str, default: Any = None) -> Any:
        """As ``get``."""
        return self.get(key, default)

    async def aentry(self, key: str) -> Entry:
        """As ``entry``."""
        return self.entry(key)

    async def adelete(self, key: str, *, if_version: int | None = None) -> int:
        """As ``delete``, without blocking the event loop."""
        return await self.store.adelete(self.scope, key, if_version=if_version)

    async def aexists(self, key: str) -> bool:
        """As ``exists``."""
        return self.exists(key)

    async def alist_keys(self, prefix: str = "") -> list[str]:
        """As ``list_keys``."""
        return self.list_keys(prefix)

    async def ahistory(self, key: str, *, limit: int = 100) -> list[Change]:
        """As ``history``; the log is read in a thread."""
        return await self.store.ahistory(self.scope, key, limit=limit)
