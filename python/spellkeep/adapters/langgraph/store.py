"""`SpellkeepStore`: LangGraph's store for memory beyond one thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from spellkeep import Batch, StateManager, StateScope
from spellkeep.adapters.langgraph.owner import Owner
from spellkeep.adapters.langgraph.places import LONG, name_of, namespace_text, place_of
from spellkeep.adapters.langgraph.query import matches, namespace_fits
from spellkeep.errors import Conflict, KeyMissing

__all__ = ["SpellkeepStore"]

_MINUTE_S = 60.0
_NO_VECTORS = (
    "SpellkeepStore does not search by meaning: search by namespace and filter, or keep the vectors in an index "
    "of your own and what they point to here"
)


class _Row(NamedTuple):
    """What stands at a place: times in microseconds since 1970; the name only where the place does not tell it."""

    created_us: int
    updated_us: int
    ttl_minutes: float | None
    value: dict[str, Any]
    name: list[Any] | None = None


class SpellkeepStore(Owner, BaseStore):
    """Items in a Spellkeep store, with LangGraph's sync and async methods in one class.

    Items come in the order of their last change, the latest first. The puts of one ``batch`` are one atomic batch. An
    item with a TTL is gone for every reader at its end; a read prolongs it, unless told not to. There is no vector
    search: ``index`` is refused, and so is a ``query``.
    """

    supports_ttl = True

    def __init__(
        self, state: StateManager, *, name: str = "memory", ttl: TTLConfig | None = None, index: Any = None
    ) -> None:
        """A store on an open Spellkeep store, which stays the caller's to close.

        Args:
            name: different names are different stores, in scopes of their own.
            ttl: LangGraph's defaults for expiry, in minutes. Expired items never show, so ``omit_expired`` and
                ``sweep_interval_minutes`` have no effect.
        Raises: NotImplementedError with `index`.
        """
        if index is not None:
            raise NotImplementedError(_NO_VECTORS)
        self._state = state
        self._scope = StateScope.custom("lgstore:" + name)
        self._handle = state.scope(self._scope)
        self.ttl_config = ttl

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out reads as things stand now, then all puts in one atomic batch; of two for one item the last holds.

        Raises:
            InvalidNamespaceError: a label is empty, not text, or has a dot in it.
            NotImplementedError: a search with a ``query``.
            NotSerializable, LimitExceeded (value.*): an item cannot be kept; nothing is written.
        """
        results, writes = self._done(ops)
        if writes is not None:
            writes.commit()
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """As ``batch``."""
        results, writes = self._done(ops)
        if writes is not None:
            await writes.acommit()
        return results

    def _done(self, ops: Iterable[Op]) -> tuple[list[Result], Batch | None]:
        results: list[Result] = []
        puts: dict[str, PutOp] = {}
        for op in ops:
            validate_op_namespace(op)
            found: Result = None
            if isinstance(op, GetOp):
                found = self._get(op)
            elif isinstance(op, SearchOp):
                found = self._search(op)
            elif isinstance(op, ListNamespacesOp):
                found = self._namespaces(op)
            elif isinstance(op, PutOp):
                puts[place_of(op.namespace, op.key)] = op
            else:
                raise ValueError(f"unknown operation {type(op).__name__}")
            results.append(found)
        return results, self._written(puts) if puts else None

    def _written(self, puts: dict[str, PutOp]) -> Batch:
        batch = self._state.batch()
        now_us = round(datetime.now(UTC).timestamp() * 1_000_000)
        for place, op in puts.items():
            if op.value is None:
                batch.delete(self._scope, place)
                continue
            old = self._handle.get(place)
            name = [list(op.namespace), op.key] if place.startswith(LONG) else None
            row = _Row(old[0] if old else now_us, now_us, op.ttl, dict(op.value), name)
            batch.set(self._scope, place, list(row), ttl_s=None if op.ttl is None else op.ttl * _MINUTE_S)
        return batch

    def _get(self, op: GetOp) -> Item | None:
        place = place_of(op.namespace, op.key)
        found = self._handle.get(place)
        if found is None:
            return None
        row = _Row(*found)
        if op.refresh_ttl:
            self._refresh(place, row)
        return Item(
            value=row.value,
            key=op.key,
            namespace=op.namespace,
            created_at=_time(row.created_us),
            updated_at=_time(row.updated_us),
        )

    def _refresh(self, place: str, row: _Row) -> None:
        """Begin an item's time anew, unless it was changed or removed meanwhile."""
        if row.ttl_minutes is None or self._state.read_only:
            return
        try:
            entry = self._handle.entry(place)
            self._handle.set(place, entry.value, if_version=entry.version, ttl_s=row.ttl_minutes * _MINUTE_S)
        except (KeyMissing, Conflict):
            pass

    def _search(self, op: SearchOp) -> list[SearchItem]:
        if op.query:
            raise NotImplementedError(_NO_VECTORS)
        found = [
            (row, namespace, key, place)
            for place, row, namespace, key in self._rows(op.namespace_prefix)
            if not op.filter or matches(row.value, op.filter)
        ]
        found.sort(key=lambda each: each[0].updated_us, reverse=True)
        items = []
        for row, namespace, key, place in found[op.offset : op.offset + op.limit]:
            if op.refresh_ttl:
                self._refresh(place, row)
            items.append(
                SearchItem(namespace, key, row.value, _time(row.created_us), _time(row.updated_us), score=None)
            )
        return items

    def _rows(self, prefix: tuple[str, ...]) -> Iterator[tuple[str, _Row, tuple[str, ...], str]]:
        for place, found in self._handle.iter_items(namespace_text(prefix)):
            if not place.startswith(LONG):
                yield place, _Row(*found), *name_of(place)
        for place, found in self._handle.iter_items(LONG):
            row = _Row(*found)
            namespace, key = tuple(row.name[0]), row.name[1]  # type: ignore[index]
            if namespace[: len(prefix)] == prefix:
                yield place, row, namespace, key

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        known = {name_of(place)[0] for place in self._handle.list_keys() if not place.startswith(LONG)}
        known |= {tuple(_Row(*found).name[0]) for _, found in self._handle.iter_items(LONG)}  # type: ignore[index]
        namespaces = {each for each in known if namespace_fits(each, op.match_conditions)}
        if op.max_depth is not None:
            namespaces = {each[: op.max_depth] for each in namespaces}
        return sorted(namespaces)[op.offset : op.offset + op.limit]


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
