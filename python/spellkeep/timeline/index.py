"""Where in the log the changes of a correlation, a scope or a type are, so that a question need not read all of it."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from spellkeep.changes import Change
from spellkeep.errors import LimitExceeded
from spellkeep.scope import StateScope
from spellkeep.timeline.timeline import type_of

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["Index", "Query"]

EVENTS_MAX = 1_000_000
"""Most changes that an index names, about 50 bytes of memory for each. Older ones are looked for in the log itself."""
Moment: TypeAlias = datetime | int
K = TypeVar("K")


class Query(NamedTuple):
    """What is asked for; None asks for anything.

    Attributes:
        since: from this version or time on, itself included.
        until: up to this version or time, itself included.
    """

    correlation: str | None = None
    scope: StateScope | None = None
    types: frozenset[str] | None = None
    since: Moment | None = None
    until: Moment | None = None

    def takes(self, change: Change) -> bool:
        """Whether a change is one of them."""
        return (
            (self.correlation is None or change.correlation == self.correlation)
            and (self.scope is None or change.scope == self.scope)
            and (self.types is None or type_of(change) in self.types)
            and (self.since is None or _moment(change, self.since) >= self.since)  # type: ignore[operator]
            and (self.until is None or _moment(change, self.until) <= self.until)  # type: ignore[operator]
        )


def _moment(change: Change, like: Moment) -> Moment:
    return change.version if isinstance(like, int) else change.at


class _Postings:
    """Positions in the log, and per correlation, scope and type which of them."""

    def __init__(self) -> None:
        self.versions = array("Q")
        self.positions = array("Q")
        # The latest time up to each: sorted, also where the clock went back.
        self.latest_us = array("Q")
        self.by_correlation: dict[str, array[int]] = {}
        self.by_scope: dict[StateScope, array[int]] = {}
        self.by_type: dict[str, array[int]] = {}

    def add(self, change: Change) -> None:
        number = len(self.versions)
        self.versions.append(change.version)
        self.positions.append(change._pos)
        self.latest_us.append(max(self.latest_us[-1] if number else 0, change._time_us))
        if (correlation := change.correlation) is not None:
            _named(self.by_correlation, correlation).append(number)
        _named(self.by_scope, change.scope).append(number)
        _named(self.by_type, type_of(change)).append(number)

    def place(self, number: int) -> tuple[int, int]:
        """Version and position of one."""
        return self.versions[number], self.positions[number]

    def numbers(self, query: Query) -> Sequence[int]:
        """Those that may be what is asked for: of all that a question names, what names the fewest."""
        lists: list[Sequence[int]] = [range(len(self.versions))]
        if query.correlation is not None:
            lists.append(self.by_correlation.get(query.correlation, ()))
        if query.scope is not None:
            lists.append(self.by_scope.get(query.scope, ()))
        if query.types is not None and len(query.types) == 1:
            lists.append(self.by_type.get(next(iter(query.types)), ()))
        fewest = min(lists, key=len)
        first = 0
        if isinstance(query.since, int):
            first = bisect_left(self.versions, query.since)
        elif query.since is not None:
            first = bisect_left(self.latest_us, query.since.timestamp() * 1e6 - 1)
        return fewest[bisect_left(fewest, first) :]


def _named(postings: dict[K, array[int]], name: K) -> array[int]:
    found = postings.get(name)
    if found is None:
        found = postings[name] = array("I")
    return found


class Index:
    """Of one store. Follows the log with each question; threads take turns."""

    def __init__(self, state: StateManager, events_max: int = EVENTS_MAX) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._half = max(1, events_max // 2)
        # When the newer half is full it becomes the older one, and the older one is forgotten.
        self._older, self._newer = _Postings(), _Postings()
        self._forgotten = False
        self._log = state.changes()

    def find(self, query: Query) -> Iterator[Change]:
        """The changes that a question takes, oldest first, of all that were committed before this call.

        Raises: as ``StateManager.changes``.
        Cost: what was committed since the last question is read, about 2 us for each; then one read of the log for each
        that is found. What is older than the index knows is found by reading all of that.
        """
        # Before the lock: in a forked child the thread that holds it may not be there.
        self._state._check_open()
        with self._lock:
            self._follow()
            older, newer = self._older, self._newer
            found = [half.place(number) for half in (older, newer) for number in half.numbers(query)]
            begin = older.versions[0] if self._forgotten else 0
        if begin:
            yield from filter(query.takes, self._before(begin, query))
        for version, position in found:
            change = self._at(version, position)
            if change is not None and query.takes(change):
                yield change

    def _follow(self) -> None:
        try:
            for change in self._log:
                if len(self._newer.versions) >= self._half:
                    self._forgotten = self._forgotten or bool(self._older.versions)
                    self._older, self._newer = self._newer, _Postings()
                self._newer.add(change)
        except LimitExceeded:
            # So long ago was the last question that the log has gone on without it.
            self._older, self._newer, self._forgotten = _Postings(), _Postings(), False
            self._log = self._state.changes()
            self._follow()

    def _before(self, version: int, query: Query) -> Iterator[Change]:
        """What the log has from before a version."""
        since = query.since - 1 if isinstance(query.since, int) else 0
        try:
            older = self._state.changes(since=max(0, since))
        except LimitExceeded:
            older = self._state.changes()
        return takewhile(lambda change: change.version < version, older)

    def _at(self, version: int, position: int) -> Change | None:
        try:
            return self._log._change_of(version, position)
        except LimitExceeded:
            # The log has let it go.
            return None
