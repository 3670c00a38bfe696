"""Sessions: pieces of work with a beginning, and an end that is known also when it never came."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias, get_args

from spellkeep._hooks import ask
from spellkeep.correlation import Correlation, caused_by, correlate, current_correlation, part_of
from spellkeep.handle import ScopeHandle
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

SESSIONS = StateScope.custom("spellkeep.sessions")
"""Where it is kept which sessions there were: one entry each time that one begins."""

ENDED_KEPT_S = 90 * 86_400.0
"""How long it is known of a session that it has ended."""

SessionStatus: TypeAlias = Literal["open", "ok", "failed", "lost"]
"""Open: its end has not come. Ok, failed: how its block ended. Lost: its process ended before it did."""


class SessionInfo(NamedTuple):
    """A session as `StateManager.sessions` lists it.

    Attributes:
        id: its id; its scope is ``StateScope.session(id)``.
        status: ``open``, ``ok``, ``failed``, ``lost``. A store that is only looked at cannot tell lost from open.
        started_at, ended_at: in UTC; no end: None.
        duration_s: from its beginning to its end.
        error: of one that failed, the class of what its block raised.
        correlation: what its records share.
        actor: who asked for it.
        metadata: what was said of it at its beginning.
    """

    id: str
    status: SessionStatus
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    error: str | None
    correlation: str
    actor: str | None
    metadata: dict[str, Any]


class Session:
    """``with state.session("s-1", actor="anna") as session:`` or ``async with``. Once.

    Attributes:
        id: its id.
        state: a handle of its scope.
        version: the version of the event that it began with; 0 before.
    """

    def __init__(
        self,
        store: StateManager,
        id: str | None,
        correlation: str | None,
        actor: str | None,
        tags: Iterable[str],
        metadata: Mapping[str, Any] | None,
    ) -> None:
        self.id = uuid.uuid4().hex if id is None else id
        self.state: ScopeHandle = store.scope(StateScope.session(self.id))
        self.version = 0
        self._store = store
        self._correlation, self._actor = correlation, actor
        # What `correlate` refuses is left to it.
        self._tags = tags if isinstance(tags, str) else tuple(tags)
        self._metadata = dict(metadata or {})
        self._begun: tuple[str, float, dict[str, Any]] | None = None
        self._ended = False
        self._around = ExitStack()
        self._inside: Correlation | None = None

    @property
    def scope(self) -> StateScope:
        """Its scope."""
        return self.state.scope

    def _begin(self) -> int:
        """Afterwards it has begun, and everything that is written is part of it. Otherwise nothing has happened."""
        if self._begun is not None:
            raise RuntimeError(f"session {self.id!r} has begun already: make another")
        store, outer = self._store, current_correlation()
        active = None if outer is None else outer.id
        id = self._correlation if self._correlation is not None else active or self.id

        def part_of_it() -> AbstractContextManager[Correlation]:
            return correlate(id, actor=self._actor, tags=self._tags)

        with part_of_it() as now:
            asked = ask(store, "session_start", self.scope, self._metadata)
        metadata = self._metadata if asked is None else asked.value
        if not isinstance(metadata, dict):
            raise TypeError(f"what a hook makes of metadata is a dict, not {type(metadata).__name__}")
        # First what `sessions` shows, which is no part of it: one of which only that is there was killed as it began.
        key, entry = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}", self._entry(now, metadata)
        # Before it is there: whoever lists it meanwhile does not take it for lost.
        _running(store).add(key)
        try:
            store._set_unacknowledged(SESSIONS, key, entry)
        except BaseException:
            _running(store).discard(key)
            raise
        with ExitStack() as around:
            around.enter_context(part_of_it())
            try:
                self.version = store.events._emit(self.scope, "session.start", {"metadata": metadata}, None, False)
            except BaseException:
                _running(store).discard(key)
                store._delete_unacknowledged(SESSIONS, key)
                raise
            if asked is not None:
                asked.done(self.version)
            around.enter_context(caused_by(self.version))
            self._inside = current_correlation()
            self._around = around.pop_all()
        self._begun = key, time.monotonic(), entry
        return self.version

    def _entry(self, now: Correlation, metadata: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.id,
            "started_at": datetime.now(UTC),
            "correlation": now.id,
            "actor": now.actor,
            "metadata": metadata,
        }

    def _end(self, error: BaseException | None) -> int:
        """Afterwards it has ended, and what is written is no part of it. When it raises, that is not recorded."""
        if self._begun is None or self._ended:
            raise RuntimeError(f"session {self.id!r} has {'ended already' if self._ended else 'not begun'}")
        assert self._inside is not None
        store, (key, begun_s, entry) = self._store, self._begun
        data = {
            "outcome": "ok" if error is None else "failed",
            "error": None if error is None else type(error).__name__,
            "duration_s": time.monotonic() - begun_s,
        }
        # It may end in another context than it began in, as in an executor or a finalizer of an event loop.
        with self._left(), part_of(self._inside):
            asked = ask(store, "session_end", self.scope, data)
            # First what hooks are given: one that ended only in the log is better than one that nobody is told of.
            ended = store.events._emit(self.scope, "session.end", data, None, False)
            if asked is not None:
                asked.done(ended)
        self._ended = True
        kept = entry | data | {"ended_at": datetime.now(UTC)}
        version = store._set_unacknowledged(SESSIONS, key, kept, ttl_s=ENDED_KEPT_S)
        _running(store).discard(key)
        return version

    @contextmanager
    def _left(self) -> Iterator[None]:
        """Afterwards what is written here is no part of it, however the block ends."""
        try:
            yield
        finally:
            # The context in which it began is another one, and was left or forgotten with all that is in it.
            with suppress(ValueError):
                self._around.close()

    def _not_entered(self, error: BaseException) -> None:
        """Whoever waited for its beginning was cancelled, or the disk refuses: it ends with that."""
        try:
            self._end(error)
        except Exception as failure:
            self._raise_beside(failure, error)

    def __enter__(self) -> Self:
        version = self._begin()
        try:
            self._store._acknowledge(version)
        except BaseException as error:
            self._not_entered(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._store._acknowledge(self._end(error))
        except Exception as failure:
            self._raise_beside(failure, error)

    async def __aenter__(self) -> Self:
        version = self._begin()
        try:
            await self._store._acknowledged(version)
        except BaseException as error:
            self._not_entered(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._store._acknowledged(self._end(error))
        except Exception as failure:
            self._raise_beside(failure, error)

    def _raise_beside(self, failure: Exception, error: BaseException | None) -> None:
        if error is None:
            raise failure
        error.add_note(f"and the end of session {self.id!r} was not recorded: {type(failure).__name__}: {failure}")

    def __repr__(self) -> str:
        return f"<Session {self.id!r} of {self._store.path!r}>"


def _running(store: StateManager) -> set[str]:
    found: set[str] = store.__dict__.setdefault("_sessions_running", set())
    return found


class SessionCalls:
    """What `StateManager` has for sessions."""

    def session(
        self,
        id: str | None = None,
        *,
        correlation: str | None = None,
        actor: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """A session: ``with state.session("s-1", actor="anna") as session: session.state["step"] = 1``.

        Its beginning and end are events of its scope (``session.start``, ``session.end`` with outcome, error and
        duration). What is written in the block is caused by the first, and part of one correlation. An id may have
        several sessions, one behind the other.

        Args:
            id: of its scope; a fresh one if not given.
            correlation: its correlation id; else the one that is active, else `id`.
            actor, tags: as `correlate` takes them.
            metadata: what is to be known of it; part of the event.
        Raises, on entering: HookVeto, then it does not begin; InvalidKey; NotSerializable, LimitExceeded (value.*);
            StorageFailed, Poisoned; ReadOnly; Closed, Forked. When its end cannot be recorded, on leaving, the same, or
            a note on what the block raised; it stays open then.
        Cost: four records.
        """
        return Session(self, id, correlation, actor, tags, metadata)  # type: ignore[arg-type]

    def sessions(
        self, id: str | None = None, *, status: SessionStatus | None = None, limit: int = 100
    ) -> list[SessionInfo]:
        """The sessions that there were, those that began last first. Ended ones are known for 90 days.

        Args:
            id: only of this one.
            status: only ``open``, ``ok``, ``failed`` or ``lost`` ones.
            limit: most of them, at least 0.
        Cost: O(sessions).
        """
        if limit < 0:
            raise ValueError("limit= is a number of sessions, at least 0")
        if status not in (None, *get_args(SessionStatus)):
            raise ValueError(f"status= is one of {', '.join(get_args(SessionStatus))}, not {status!r}")
        store: StateManager = self  # type: ignore[assignment]
        found = list[SessionInfo]()
        for key in reversed(store.list_keys(SESSIONS)):
            if len(found) >= limit:
                break
            # First this: one that ends meanwhile is not taken for lost.
            may_be_open = store.read_only or key in _running(store)
            # One may be over meanwhile.
            if (entry := store.get(SESSIONS, key)) is None or id not in (None, entry["id"]):
                continue
            info = _info(entry, may_be_open)
            if status in (None, info.status):
                found.append(info)
        return found

    # async twins

    def asession(
        self,
        id: str | None = None,
        *,
        correlation: str | None = None,
        actor: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """As ``session``, for ``async with``."""
        return self.session(id, correlation=correlation, actor=actor, tags=tags, metadata=metadata)

    async def asessions(
        self, id: str | None = None, *, status: SessionStatus | None = None, limit: int = 100
    ) -> list[SessionInfo]:
        """As ``sessions``."""
        return self.sessions(id, status=status, limit=limit)


def _info(entry: dict[str, Any], may_be_open: bool) -> SessionInfo:
    return SessionInfo(
        id=entry["id"],
        status=entry.get("outcome", "open" if may_be_open else "lost"),
        started_at=entry["started_at"],
        ended_at=entry.get("ended_at"),
        duration_s=entry.get("duration_s"),
        error=entry.get("error"),
        correlation=entry["correlation"],
        actor=entry["actor"],
        metadata=entry["metadata"],
    )
