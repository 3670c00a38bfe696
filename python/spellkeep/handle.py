"""A handle on one scope: the fast path, and a mutable mapping."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, ItemsView, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any

from spellkeep import _core
from spellkeep.changes import Change, Entry, StateClass
from spellkeep.errors import Conflict, KeyMissing, StateError
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.batch import Batch
    from spellkeep.store import StateManager

__all__ = ["ScopeHandle"]

_MISSING = object()
# As a default of `pop`, where `_MISSING` means that none was given.
_GONE = object()


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
    ``if_version`` and ``ttl_s``. Iteration, over ``items()`` and ``values()`` too, goes over what there was when it
    began.
    """

    store: StateManager

    def __init__(
        self, store: StateManager, scope: StateScope, state_class: StateClass | None = StateClass.STANDARD
    ) -> None:
        self._state_class = StateClass.STANDARD if state_class is None else state_class

    @property
    def state_class(self) -> StateClass:
        """The class of what is written through it, unless a call says otherwise."""
        return self._state_class

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
        return self._popped(key, default, self._take(key, self.delete))

    def _take(self, key: str, delete: Callable[..., int]) -> tuple[Any, int] | None:
        """Remove `key`; return its value and the tombstone's version, or None when there was nothing."""
        while True:
            entry = self._entry_or_none(key)
            if entry is None:
                return None
            try:
                return entry.value, delete(key, if_version=entry.version)
            except Conflict:
                continue

    @staticmethod
    def _popped(key: str, default: Any, taken: tuple[Any, int] | None) -> Any:
        if taken is not None:
            return taken[0]
        if default is _MISSING:
            raise KeyMissing(f"nothing is stored under {key!r}", code="key.missing")
        return default

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the first key in order, with its value.

        Raises: KeyMissing (key.missing) when the scope is empty.
        """
        key, value, _ = self._take_first(self.delete)
        return key, value

    def _take_first(self, delete: Callable[..., int]) -> tuple[str, Any, int]:
        while True:
            keys = self.list_keys()
            if not keys:
                raise KeyMissing(f"{self.scope} is empty", code="key.missing")
            # Another caller may take the first ones meanwhile.
            for key in keys:
                if (taken := self._take(key, delete)) is not None:
                    return key, *taken

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value under `key`; `default`, stored, when there was none. Two callers agree on one value."""
        return self._settled(key, default, self.set)[0]

    def _settled(self, key: str, default: Any, set: Callable[..., int]) -> tuple[Any, int]:
        """The value under `key`, and the version written, 0 when there was a value already."""
        while True:
            found = self.get(key, _MISSING)
            if found is not _MISSING:
                return found, 0
            try:
                return default, set(key, default, if_version=0)
            except Conflict:
                continue

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Store every item of a mapping or of pairs, in one atomic batch."""
        self._batch_of(other, more).commit()

    def _batch_of(self, other: Any, more: dict[str, Any]) -> Batch:
        batch = self.store.batch()
        # What nobody chose takes the place of no sealed value.
        chosen = None if self._state_class is StateClass.STANDARD else self._state_class
        for key, value in dict(other, **more).items():
            batch.set(self.scope, key, value, state_class=chosen)
        return batch

    def clear(self) -> None:
        """Remove every key with one record."""
        self.store.clear_scope(self.scope)

    def __repr__(self) -> str:
        try:
            count = len(self)
            known = f"{count} {'key' if count == 1 else 'keys'}"
        except StateError as error:
            # A repr must not raise: debuggers and logs show it at any time.
            known = error.code.removeprefix("store.")
        return f"<ScopeHandle {self.scope} of {self.store.path!r}, {known}>"

    def _ipython_key_completions_(self) -> list[str]:
        return self.list_keys()

    def __reduce__(self) -> Any:
        raise TypeError("a handle cannot be pickled: open the store again where it is needed")

    # async twins

    async def aset(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int:
        """As ``set``, without blocking the event loop."""
        return await self.store._acknowledged(
            self._set_unacknowledged(key, value, if_version=if_version, ttl_s=ttl_s, state_class=state_class)
        )

    async def aget(self, key: str, default: Any = None) -> Any:
        """As ``get``."""
        return self.get(key, default)

    async def aview(self, key: str) -> Any:
        """As ``view``."""
        return self.view(key)

    async def aentry(self, key: str) -> Entry:
        """As ``entry``."""
        return self.entry(key)

    def _delete_unacknowledged(self, key: str, *, if_version: int | None = None) -> int:
        return self.store._delete_unacknowledged(self.scope, key, if_version=if_version)

    async def adelete(self, key: str, *, if_version: int | None = None) -> int:
        """As ``delete``, without blocking the event loop."""
        return await self.store.adelete(self.scope, key, if_version=if_version)

    async def aexists(self, key: str) -> bool:
        """As ``exists``."""
        return self.exists(key)

    async def aversion(self, key: str) -> int:
        """As ``version``."""
        return self.version(key)

    async def alist_keys(self, prefix: str = "") -> list[str]:
        """As ``list_keys``."""
        return self.list_keys(prefix)

    async def aiter_items(self, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        """As ``iter_items``, for ``async for``."""
        for item in self.iter_items(prefix):
            yield item

    async def ahistory(self, key: str, *, limit: int = 100) -> list[Change]:
        """As ``history``; the log is read in a thread."""
        return await self.store.ahistory(self.scope, key, limit=limit)

    async def apop(self, key: str, default: Any = _MISSING) -> Any:
        """As ``pop``, without blocking the event loop."""
        taken = self._take(key, self._delete_unacknowledged)
        if taken is not None:
            await self.store._acknowledged(taken[1])
        return self._popped(key, default, taken)

    async def apopitem(self) -> tuple[str, Any]:
        """As ``popitem``, without blocking the event loop."""
        key, value, version = self._take_first(self._delete_unacknowledged)
        await self.store._acknowledged(version)
        return key, value

    async def asetdefault(self, key: str, default: Any = None) -> Any:
        """As ``setdefault``, without blocking the event loop."""
        value, version = self._settled(key, default, self._set_unacknowledged)
        if version:
            await self.store._acknowledged(version)
        return value

    async def aupdate(self, other: Any = (), /, **more: Any) -> None:
        """As ``update``, without blocking the event loop."""
        await self._batch_of(other, more).acommit()

    async def aclear(self) -> None:
        """As ``clear``, without blocking the event loop."""
        await self.store.aclear_scope(self.scope)
