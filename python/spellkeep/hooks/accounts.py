"""What the hooks of a store are, did, and have left to do."""

from __future__ import annotations

import threading
import weakref
from datetime import datetime
from types import EllipsisType
from typing import TYPE_CHECKING

from spellkeep._async import in_thread
from spellkeep.hooks.consumer import Consumer
from spellkeep.hooks.log import DISABLED, HOOKS, kept
from spellkeep.hooks.reading import Execution, read_history
from spellkeep.hooks.registered import HookInfo, HookStats, Registered
from spellkeep.hooks.retention import HistoryRetention, change_retention

if TYPE_CHECKING:
    from spellkeep.store import StateManager


class HookAccounts:
    """The part of `HookRegistry` that looks."""

    def __init__(self, state: StateManager) -> None:
        self._state = weakref.ref(state)
        self._lock = threading.Lock()
        self._hooks: dict[str, Registered] = {}
        self._consumer: Consumer | None = None

    def _opened(self) -> StateManager:
        state = self._state()
        if state is None:
            raise ReferenceError("the store of these hooks is gone")
        state._check_open()
        return state

    def ls(self) -> list[HookInfo]:
        """The hooks, in the order in which they run."""
        with self._lock:
            hooks = sorted(self._hooks.values(), key=lambda hook: hook.priority)
        return [hook.info for hook in hooks]

    def stats(self) -> list[HookStats]:
        """Figures of each hook in this process, as `ls` orders them."""
        with self._lock:
            hooks = sorted(self._hooks.values(), key=lambda hook: hook.priority)
        return [self._stats_of(hook) for hook in hooks]

    def _stats_of(self, hook: Registered) -> HookStats:
        each = None if self._consumer is None else self._consumer.delivery(hook.name)
        if each is None:
            return hook.stats()
        return hook.stats(
            position=each.position,
            given_up_count=each.given_up_count,
            dropped_count=each.dropped_count,
            too_deep_count=each.too_deep_count,
        )

    @property
    def lag(self) -> int:
        """How many versions the hook that is furthest behind has not been given yet."""
        position = None if self._consumer is None else self._consumer.position
        return 0 if position is None else max(self._opened().last_version - position, 0)

    @property
    def left(self) -> dict[str, int]:
        """After `close`: by name, how many versions an after-hook was not given: the next process gives them."""
        return {} if self._consumer is None else dict(self._consumer.left)

    def drain(self, timeout_s: float) -> bool:
        """Wait until every after-hook was given everything up to now, and that is stored; whether it came to that.

        Hooks that are switched off, or whose event loop is closed, are not waited for.

        Raises: RuntimeError when an after-hook calls it; Closed, Forked.
        """
        state = self._opened()
        return self._consumer is None or self._consumer.drain(state.last_version, timeout_s)

    async def adrain(self, timeout_s: float) -> bool:
        """As `drain`, in a thread."""
        return await in_thread(self.drain, timeout_s)

    def retention(
        self,
        *,
        keep_count: int | EllipsisType | None = ...,
        keep_days: float | EllipsisType | None = ...,
        keep_important_days: float | EllipsisType | None = ...,
    ) -> HistoryRetention:
        """How long executions of each hook are kept, after changing what is given: `HistoryRetention` says how.

        It is kept in the store, and holds for the processes to come. What is over goes in the background, of hooks that
        are registered.

        Raises: LimitExceeded (hook.option); ReadOnly.
        """
        return change_retention(self._opened(), keep_count, keep_days, keep_important_days)

    def kept(self) -> list[HookStats]:
        """What the store keeps of every hook that ever ran: its name, position and last figures."""
        return [
            HookStats(**{"name": name, "position": stored["version"] or 0} | stored["figures"])
            for name, stored in kept(self._opened())
        ]

    def is_enabled(self, name: str) -> bool:
        """Whether a hook of this name runs when it is registered."""
        return not self._opened().exists(HOOKS, DISABLED + name)

    def history(
        self,
        hook: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        result: str | None = None,
        correlation: str | None = None,
        limit: int = 100,
    ) -> list[Execution]:
        """The last executions that are written, newest first.

        Args:
            hook: only of this one; also of one that is registered no more.
            since, until: written from then on, and before.
            result: only with this one.
            correlation: only for changes that are part of this; one look into the log for each execution.
            limit: most executions, at least 0.
        Raises: ValueError: no such result; LimitExceeded (hook.option): a limit below 0.
        Cost: O(limit) of one hook; of all hooks, that of each.
        """
        return read_history(self._opened(), hook, since, until, result, correlation, limit)
