"""The store: scoped, versioned state that is there after a crash."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from spellkeep import _core
from spellkeep._agents import AgentCalls
from spellkeep._async import durable, in_thread, take
from spellkeep._closing import close_at_exit
from spellkeep._hooks import HookCalls, positions_of
from spellkeep._replays import ReplayCalls
from spellkeep._sealing import checked_keys
from spellkeep._timelines import TimelineCalls
from spellkeep.batch import Batch
from spellkeep.changes import Change, Entry, StateClass
from spellkeep.damage import Damage, VerifyReport, damage_from_row, report_from_dict
from spellkeep.events import Events
from spellkeep.figures import Recovery, Stats
from spellkeep.handle import ScopeHandle
from spellkeep.read_view import ReadView
from spellkeep.scope import StateScope
from spellkeep.sessions import SessionCalls
from spellkeep.value import Limits

__all__ = ["Durability", "StateManager", "open"]

Durability: TypeAlias = Literal["process", "interval", "sync"]
"""When a write is acknowledged, and what it then survives. See `open`."""


class StateManager(AgentCalls, HookCalls, ReplayCalls, SessionCalls, TimelineCalls, _core.Store):
    """An open store. Made by `open`; shared by all threads of the process; closed by ``close`` or ``with``.

    Every call has an async twin with an ``a`` in front (``aset``, ``aget``, ...). Reads and writes answer from memory
    and never block for long, so the twins call them directly; only a wait for durability is awaited.
    """

    def __new__(
        cls,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "interval",
        interval_ms: int = 20,
        limits: Limits | None = None,
        ring_bytes: int = 4 << 20,
        segment_bytes: int = 64 << 20,
        mapped_ring: bool | None = None,
        keep_log_bytes: int | None = 16 << 20,
        keep_log_days: float = 0,
        checkpoint_log_bytes: int = 16 << 20,
        memory_budget_bytes: int | None = None,
        view_budget_bytes: int = 64 << 20,
        read_only: bool = False,
        allow_damage: bool = False,
        allow_replay: bool = False,
        sealing_keys: Sequence[bytes] = (),
    ) -> Self:
        """See `open`."""
        if path == ":memory:":
            raise ValueError('":memory:" would be a directory of that name: a store without files is "memory:"')
        self = super().__new__(
            cls,
            None if path == "memory:" else path,
            durability=durability,
            interval_ms=interval_ms,
            limits=limits,
            ring_bytes=ring_bytes,
            segment_bytes=segment_bytes,
            mapped_ring=mapped_ring,
            keep_log_bytes=keep_log_bytes,
            keep_log_days=keep_log_days,
            checkpoint_log_bytes=checkpoint_log_bytes,
            memory_budget_bytes=memory_budget_bytes,
            view_budget_bytes=view_budget_bytes,
            read_only=read_only,
            allow_damage=allow_damage,
            sealing_keys=checked_keys(sealing_keys),
            # Until it is known how far the after-hooks have read.
            hold_log=None if read_only else 0,
        )
        if not read_only:
            self._hold_log(min(positions_of(self).values(), default=None))
        self._path = os.fspath(path)
        self._allow_replay = allow_replay
        close_at_exit(self)
        if allow_replay and not read_only:
            self._begin_replays()
        return self

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        pass

    _path: str
    _allow_replay: bool

    @property
    def path(self) -> str:
        """The directory, or ``"memory:"``."""
        return self._path

    @property
    def recovery(self) -> Recovery:
        """What the opening found."""
        return Recovery(**self._recovery_dict())

    @property
    def damages(self) -> tuple[Damage, ...]:
        """What was found wrong when it was opened with ``allow_damage``; else nothing."""
        return tuple(map(damage_from_row, self._damage_rows()))

    def scope(self, scope: StateScope, *, state_class: StateClass = StateClass.STANDARD) -> ScopeHandle:
        """A handle on one scope: a mutable mapping, and the fastest way to read and write.

        Args:
            state_class: class of what is written through it, unless a call says otherwise.
        """
        return ScopeHandle(self, scope, state_class)

    def clear_scope(self, scope: StateScope) -> int:
        """Remove every key of a scope with one record; return how many there were.

        Afterwards no reader sees any of them, and their histories show the clear.
        """
        return self._clear(scope)[0]

    def batch(self) -> Batch:
        """A batch: ``with state.batch() as b: b.set(...); b.delete(...)``. See `Batch`."""
        return Batch(self)

    def read_view(self, *, max_age_s: float | None = None) -> ReadView:
        """The store as it is now, for many reads: ``with state.read_view() as rv: rv.get(...)``. See `ReadView`.

        Args:
            max_age_s: it ends by itself after so many seconds; above 0 and up to a hundred years.
        Raises: LimitExceeded (view.count) beyond 1,024 views at a time, (view.max_age); Closed, Forked.
        Cost: O(1). While a view lasts, each entry that it sees is kept when it is replaced, without being copied.
        """
        return ReadView(self, max_age_s=max_age_s)

    @property
    def events(self) -> Events:
        """Record that something happened: ``state.events.emit("plan.made", {"steps": 3})``. See `Events`."""
        return Events(self)

    def verify(self) -> VerifyReport:
        """Read every byte of the store that counts, up to the version at the start, and say what is not as written.

        As `spellkeep.verify`, and each snapshot and the log behind it must come to what this store has in memory.
        Writers go on meanwhile; a checkpoint waits.

        Raises: StorageFailed (storage.io); Closed, Forked. Damage is in the report.
        """
        return report_from_dict(self._verified_dict())

    def stats(self) -> Stats:
        """Figures as of now. Cost: O(scopes)."""
        return Stats(**self._stats_dict())

    def close(self) -> None:
        """Make everything durable and give the directory up. Afterwards every call raises Closed, but ``close``.

        First, scheduled replays are cancelled, and after-hooks are given what is left, for as long as that goes on, up
        to 5 s.

        Raises: StorageFailed (storage.io, storage.full), Poisoned; it is closed then, too.
        """
        self._end_replays()
        if (hooks := self.__dict__.get("_hooks")) is not None:
            hooks._end()
        self.__dict__.pop("_agents", None)
        super().close()

    def __enter__(self) -> Self:
        self._check_open()
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
        await self.aclose()

    def __repr__(self) -> str:
        if self.forked:
            return f"<StateManager {self._path!r}, of the parent process>"
        if self.closed:
            return f"<StateManager {self._path!r}, closed>"
        how = "read-only" if self.read_only else self.durability
        return f"<StateManager {self._path!r}, {how}, version {self.last_version}>"

    def __reduce__(self) -> Any:
        raise TypeError("an open store cannot be pickled: open it again where it is needed")

    # async twins

    async def _acknowledged(self, version: int) -> int:
        if self.durability == "sync":
            await durable(self, version)
        return version

    async def aset(
        self,
        scope: StateScope,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int:
        """As ``set``."""
        return await self._acknowledged(
            self._set_unacknowledged(scope, key, value, if_version=if_version, ttl_s=ttl_s, state_class=state_class)
        )

    async def aget(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """As ``get``."""
        return self.get(scope, key, default)

    async def aview(self, scope: StateScope, key: str) -> Any:
        """As ``view``."""
        return self.view(scope, key)

    async def aentry(self, scope: StateScope, key: str) -> Entry:
        """As ``entry``."""
        return self.entry(scope, key)

    async def adelete(self, scope: StateScope, key: str, *, if_version: int | None = None) -> int:
        """As ``delete``."""
        version = self._delete_unacknowledged(scope, key, if_version=if_version)
        return await self._acknowledged(version) if version else 0

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

    async def aclear_scope(self, scope: StateScope) -> int:
        """As ``clear_scope``."""
        count, version = self._clear(scope, acknowledge=False)
        if count:
            await self._acknowledged(version)
        return count

    async def alist_scopes(self) -> list[StateScope]:
        """As ``list_scopes``."""
        return self.list_scopes()

    def abatch(self) -> Batch:
        """As ``batch``, for ``async with``."""
        return self.batch()

    def aread_view(self, *, max_age_s: float | None = None) -> ReadView:
        """As ``read_view``, for ``async with``."""
        return self.read_view(max_age_s=max_age_s)

    async def ahistory(self, scope: StateScope, key: str, *, limit: int = 100) -> list[Change]:
        """As ``history``; the log is read in a thread."""
        return await in_thread(self.history, scope, key, limit=limit)

    async def achanges(self, *, since: int = 0) -> AsyncIterator[Change]:
        """As ``changes``, for ``async for``; the log is read in a thread."""
        changes = self.changes(since=since)
        while chunk := await in_thread(take, changes, 256):
            for change in chunk:
                yield change

    async def aflush(self) -> int:
        """As ``flush``, without blocking the event loop."""
        self._check_writable()
        await durable(self, self.last_version)
        return self.durable_version

    async def acheckpoint(self) -> int:
        """As ``checkpoint``, in a thread."""
        return await in_thread(self.checkpoint)

    async def averify(self) -> VerifyReport:
        """As ``verify``, in a thread."""
        return await in_thread(self.verify)

    async def astats(self) -> Stats:
        """As ``stats``."""
        return self.stats()

    async def aclose(self) -> None:
        """As ``close``, in a thread."""
        await in_thread(self.close)


def open(
    path: str | os.PathLike[str],
    *,
    durability: Durability = "interval",
    interval_ms: int = 20,
    limits: Limits | None = None,
    ring_bytes: int = 4 << 20,
    segment_bytes: int = 64 << 20,
    mapped_ring: bool | None = None,
    keep_log_bytes: int | None = 16 << 20,
    keep_log_days: float = 0,
    checkpoint_log_bytes: int = 16 << 20,
    memory_budget_bytes: int | None = None,
    view_budget_bytes: int = 64 << 20,
    read_only: bool = False,
    allow_damage: bool = False,
    allow_replay: bool = False,
    sealing_keys: Sequence[bytes] = (),
) -> StateManager:
    """Open the store in a directory, making it when there is none; ``"memory:"`` gives one without files.

    Afterwards this process is the directory's only writer, and everything that an earlier one was told was written is
    there: see ``recovery`` of the result.

    Args:
        path: a directory, or a path where nothing is yet.
        durability: when a write is acknowledged, and what it then survives.
            ``"process"``: once it is in the ring. A kill of the process; of a power loss, what the kernel wrote back.
            ``"interval"``: the same, and a sync every ``interval_ms``: of a power loss, all but the last interval.
            ``"sync"``: after the sync that covers it. A power loss.
            ``flush()`` makes everything written so far durable, whatever the word.
        interval_ms: 1 to 60,000.
        limits: what one value may be.
        ring_bytes: size of the ring, 64 KiB to 1 GiB in steps of 4 KiB. Larger commits go straight to the log.
        segment_bytes: a segment of the log is sealed once it is this long.
        mapped_ring: whether to acknowledge from a mapped file. None asks the file system: where mappings cannot be
            trusted (network and copy-on-write file systems) each write is one ``pwrite``.
        keep_log_bytes: how much of the log is kept for histories once checkpoints have it; None keeps all.
        keep_log_days: and everything younger than this, however much it is.
        checkpoint_log_bytes: a checkpoint is made in the background when the log has grown by this much, or by half of
            what a snapshot holds if that is more; 64 KiB to 1 TiB. Less opens sooner after a kill, more writes less.
        memory_budget_bytes: values beyond so many bytes leave memory and are read back, when asked for, from the log or
            a snapshot (a few microseconds); their keys stay. None: all values stay, as they do in a store in memory.
        view_budget_bytes: how much of what was replaced is kept for read views, 64 KiB to 1 TiB; past it the oldest
            view ends.
        read_only: look at the store as it is now. Nothing in the directory is written, made or removed, and no lock is
            held, so another process may go on writing; what it does from now on is not seen. Everything that was
            acknowledged before is there, whole batches only. Writes raise ReadOnly. Of the other options only
            ``limits`` counts.
        allow_damage: with ``read_only``, open a damaged store too, with everything that is whole of it: records behind
            damage count, of batches only whole ones. ``damages`` of the result lists what is not. It is then held in
            memory, log and all.
        allow_replay: permit ``state.replay`` to run hooks again, and run what is scheduled there. Without it that is
            AccessDenied (access.denied), and nothing that is scheduled runs.
        sealing_keys: 32 random bytes each, as of ``secrets.token_bytes(32)``, kept elsewhere. The first one seals
            values of class SENSITIVE, each opens what was sealed with it. Whoever has none of them cannot read it.
    Raises:
        StoreLocked (store.locked): somebody else has the directory. Never with ``read_only``.
        StorageFailed (store.missing): there is no store, with ``read_only``.
        Corrupted (log.damaged): stored bytes are not what was written. Nothing was changed.
        StorageFailed (storage.full, storage.read_only, storage.not_a_directory, storage.io): the system refused.
        LimitExceeded (store.option): an option is out of range.
        ValueError: for ``":memory:"``, by which others mean ``"memory:"``.
    Cost: one sequential read of the log, a few syncs.
    """
    return StateManager(
        path,
        durability=durability,
        interval_ms=interval_ms,
        limits=limits,
        ring_bytes=ring_bytes,
        segment_bytes=segment_bytes,
        mapped_ring=mapped_ring,
        keep_log_bytes=keep_log_bytes,
        keep_log_days=keep_log_days,
        checkpoint_log_bytes=checkpoint_log_bytes,
        memory_budget_bytes=memory_budget_bytes,
        view_budget_bytes=view_budget_bytes,
        read_only=read_only,
        allow_damage=allow_damage,
        allow_replay=allow_replay,
        sealing_keys=sealing_keys,
    )
