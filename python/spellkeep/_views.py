"""What ``keys()``, ``values()`` and ``items()`` of a `DictView` give. Iteration goes over the stored bytes once."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spellkeep._core import DictView

Keys = KeysView


class Values(ValuesView[Any]):
    """The values of a view."""

    _mapping: DictView

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._iter_values()

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)


class Items(ItemsView[Any, Any]):
    """The items of a view."""

    _mapping: DictView

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._iter_items()
