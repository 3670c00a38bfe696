"""The calls of a store about what happened and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from spellkeep._async import in_thread
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.changes import Change
    from spellkeep.timeline import Timeline, Why
    from spellkeep.timeline.index import Index


class TimelineCalls:
    """What `StateManager` has for timelines. The room itself is imported with the first question."""

    _timeline_index: Index

    def timeline(
        self,
        *,
        correlation: str | None = None,
        scope: StateScope | None = None,
        agent: str | None = None,
        types: str | Iterable[str] | None = None,
        since: datetime | int | None = None,
        until: datetime | int | None = None,
        where: Callable[[Change], bool] | None = None,
        limit: int | None = None,
    ) -> Timeline:
        """What was committed before this call, in order, and what caused what. Each argument leaves out what is not so.

        It goes back as far as the log does (``keep_log_bytes``, ``keep_log_days``).

        Args:
            correlation: only what has this correlation id.
            scope: only what happened in this scope.
            agent: only what happened to this agent; short for its scope.
            types: only these: types of events, and ``"set"``, ``"delete"``, ``"clear"``, ``"expire"``.
            since: only from this version or time on, itself included.
            until: only up to this version or time, itself included. A time without a zone is taken as local.
            where: only what this returns true for.
            limit: only so many, the newest.
        Raises: TypeError; ValueError (both `scope` and `agent`, or a `limit` below 0); Corrupted (log.damaged) when a
            record does not hold; StorageFailed; Closed, Forked.
        Cost: the first question reads the log, about 2 us per change; later ones what came since, and one read for each
            change that they find.
        """
        from spellkeep.timeline import Timeline
        from spellkeep.timeline.index import Index, Query

        if not isinstance(scope, StateScope | None):
            raise TypeError(f"scope= is a StateScope, such as StateScope.parse({scope!r})")
        for moment in (since, until):
            if not isinstance(moment, datetime | int | None):
                raise TypeError(f"since= and until= are versions or datetimes, not {moment!r}")
        if agent is not None:
            if scope is not None:
                raise ValueError("give scope= or agent=, not both: an agent is a scope")
            scope = StateScope.agent(agent)
        if limit is not None and limit < 0:
            raise ValueError("limit= is a number of changes, at least 0")
        index = self.__dict__.get("_timeline_index")
        if index is None:
            # Two threads may both make one; then both are right, and one of them is kept.
            index = self.__dict__.setdefault("_timeline_index", Index(self))  # type: ignore[arg-type]
        kinds = None if types is None else frozenset((types,) if isinstance(types, str) else types)
        query = Query(correlation, scope, kinds, _aware(since), _aware(until))
        found = [change for change in index.find(query) if where is None or where(change)]
        return Timeline(found if limit is None else found[len(found) - min(limit, len(found)) :])

    def why(self, scope: StateScope, key: str) -> Why:
        """What caused the last change of a key, back to where it began. See ``spellkeep.timeline.Why``.

        Raises: KeyMissing when the log has no change of it; InvalidKey; Corrupted (log.damaged); Closed, Forked.
        Cost: one read of the log for each cause.
        """
        from spellkeep.timeline.why import why

        return why(self, scope, key)  # type: ignore[arg-type]

    # async twins

    async def atimeline(
        self,
        *,
        correlation: str | None = None,
        scope: StateScope | None = None,
        agent: str | None = None,
        types: str | Iterable[str] | None = None,
        since: datetime | int | None = None,
        until: datetime | int | None = None,
        where: Callable[[Change], bool] | None = None,
        limit: int | None = None,
    ) -> Timeline:
        """As ``timeline``, in a thread."""
        return await in_thread(
            self.timeline,
            correlation=correlation,
            scope=scope,
            agent=agent,
            types=types,
            since=since,
            until=until,
            where=where,
            limit=limit,
        )

    async def awhy(self, scope: StateScope, key: str) -> Why:
        """As ``why``, in a thread."""
        return await in_thread(self.why, scope, key)


def _aware(moment: datetime | int | None) -> datetime | int | None:
    """A time with its zone, so that it can be compared."""
    return moment.astimezone() if isinstance(moment, datetime) and moment.tzinfo is None else moment
