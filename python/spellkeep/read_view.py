"""Read views: many reads that all see one moment of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, ItemsView, Iterator, Mapping, ValuesView
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spellkeep import _core
from spellkeep.changes import Entry
from spellkeep.errors import KeyMissing, StateError
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["ReadView", "ScopeView"]

_MISSING = object()


class ReadView(_core.ReadView):
    """The store as it was when the view was taken: made by ``state.read_view()``, closed by ``with`` or ``close``.

    Every read sees everything up to ``version`` and nothing later, and all or nothing of a batch. What had expired by
    then is gone, and what expires later stays. A view waits for no writer, and no writer waits for a view.

    It ends early when more than ``view_budget_bytes`` of replaced entries would have to be kept (the oldest view ends
    first), when it is older than its ``max_age_s``, and when the store is closed. From then on every read raises
    ViewEnded (view.ended), and the answer is to take another view. It does not keep the store open.
    """

    def __new__(cls, store: StateManager, *, max_age_s: float | None = None) -> Self:
        """A view of `store` as it is now. Use ``state.read_view()``."""
        return super().__new__(cls, store, max_age_s=max_age_s)

    def scope(self, scope: StateScope) -> ScopeView:
        """One scope of the view as a read-only mapping."""
        return ScopeView(self, scope)

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ReadView of version {self.version}{', ended' if self.ended else ''}>"

    def __reduce__(self) -> Any:
        raise TypeError("a read view cannot be pickled: take another where it is needed")

    # async twins: reads answer from memory and never block for long

    async def aget(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """As ``get``."""
        return self.get(scope, key, default)

    async def aentry(self, scope: StateScope, key: str) -> Entry:
        """As ``entry``."""
        return self.entry(scope, key)

    async def aexists(self, scope: StateScope, key: str) -> bool:
        """As ``exists``."""
        return self.exists(scope, key)

    async def alist_keys(self, scope: StateScope, prefix: str = "") -> list[str]:
        """As ``list_keys``."""
        return self.list_keys(scope, prefix)

    async def aitems(self, scope: StateScope, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        """As ``items``, for ``async for``."""
        for item in self.items(scope, prefix):
            yield item

    async def alist_scopes(self) -> list[StateScope]:
        """As ``list_scopes``."""
        return self.list_scopes()


class _Items(ItemsView[str, Any]):
    """The items of a scope view, decoded one after the other."""

    _mapping: ScopeView

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping.iter_items()

    def __contains__(self, item: object) -> bool:
        # The inherited one asks for the value under things that cannot be keys.
        return isinstance(item, tuple) and len(item) == 2 and item[0] in self._mapping and super().__contains__(item)


class _Values(ValuesView[Any]):
    """The values of a scope view, decoded one after the other."""

    _mapping: ScopeView

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.iter_items())


class ScopeView(Mapping[str, Any]):
    """One scope of a read view as a read-only mapping, in key order. Made by ``ReadView.scope``.

    Every call raises ViewEnded (view.ended) when the view has ended. ``len`` costs a walk over the scope.
    """

    def __init__(self, view: ReadView, scope: StateScope) -> None:
        self._view = view
        self._scope = scope

    @property
    def view(self) -> ReadView:
        """The view that it belongs to."""
        return self._view

    @property
    def scope(self) -> StateScope:
        """The scope."""
        return self._scope

    def entry(self, key: str) -> Entry:
        """As ``ReadView.entry``."""
        return self._view.entry(self._scope, key)

    def list_keys(self, prefix: str = "") -> list[str]:
        """The keys that start with `prefix`, in order."""
        return self._view.list_keys(self._scope, prefix)

    def iter_items(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Keys and values whose key starts with `prefix`, in order."""
        return self._view.items(self._scope, prefix)

    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`."""
        return self._view.get(self._scope, key, default)

    def items(self) -> ItemsView[str, Any]:
        """A view of keys and values, in key order."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """A view of the values, in key order."""
        return _Values(self)

    def __getitem__(self, key: str) -> Any:
        found = self._view.get(self._scope, key, _MISSING)
        if found is _MISSING:
            raise KeyMissing(f"nothing is stored under {key!r}", code="key.missing")
        return found

    def __contains__(self, key: object) -> bool:
        try:
            return self._view.exists(self._scope, key)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            # What cannot be a key is not there, as in a dict.
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_keys())

    def __len__(self) -> int:
        return len(self.list_keys())

    def __repr__(self) -> str:
        try:
            count = len(self)
            known = f"{count} {'key' if count == 1 else 'keys'}"
        except StateError:
            # A repr must not raise: debuggers and logs show it at any time.
            known = "ended"
        return f"<ScopeView {self._scope} of version {self._view.version}, {known}>"
