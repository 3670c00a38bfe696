"""Writing an agent: changes are gathered, and saved as one record or one batch."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from spellkeep._hooks import asks
from spellkeep.agent.layout import (
    AGENT,
    CONVERSATION,
    EDIT,
    GONE,
    MESSAGE,
    RETENTION,
    SCHEMA,
    STEP,
    is_gone,
    numbered,
    past_key,
)
from spellkeep.agent.source import Source
from spellkeep.batch import Batch
from spellkeep.errors import Conflict, LimitExceeded
from spellkeep.handle import ScopeHandle

_ATTEMPTS = 10

# The step of the thread or task that is in one, and of the tasks that it starts.
current_step: ContextVar[Any] = ContextVar("spellkeep_agent_step", default=None)


_savers: weakref.WeakSet[Saver] = weakref.WeakSet()


def _begin_anew() -> None:
    """In a forked child a lock may be held by a thread that is not there; the store says that it is the parent's."""
    for saver in list(_savers):
        saver.lock = threading.RLock()


os.register_at_fork(after_in_child=_begin_anew)


class Change:
    """What one save changes.

    Attributes:
        appended: messages to add.
        put: entries to set; `GONE`: to remove.
        fold: entries whose new value is a function of the one before (None: nothing), called when it is saved.
        deleted: ranges of numbers of messages to remove.
    """

    def __init__(self) -> None:
        self.appended: list[Any] = []
        self.put: dict[str, Any] = {}
        self.fold: dict[str, list[Callable[[Any], Any]]] = {}
        self.deleted: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self.appended or self.put or self.fold or self.deleted)

    @property
    def is_one_message(self) -> bool:
        """Whether a message more is all that it changes."""
        return len(self.appended) == 1 and not (self.put or self.fold or self.deleted)

    def folded(self, key: str, value: Any) -> Any:
        """What becomes of a value."""
        for function in self.fold.get(key, ()):
            value = function(value)
        return value


class Saver:
    """The one writer of one agent: gives messages their numbers, and keeps what is replaced.

    Everything that it knows can be read again from the store; it is forgotten whenever somebody else wrote.
    """

    def __init__(self, handle: ScopeHandle) -> None:
        self.handle = handle
        # Reentrant, as the encode function of a registered class may look at the agent.
        self.lock = threading.RLock()
        _savers.add(self)
        self.waits = handle.store.durability == "sync"
        self.replaced_count = 0
        self._add = handle._add_numbered
        self._has = handle.exists
        self.forget()

    def forget(self) -> None:
        """Read everything again before the next write. Under the lock, or before anybody else has it."""
        self._end = -1
        self._steps = -1
        self.source = Source(self.handle)

    def _learn(self) -> None:
        self.source = Source(self.handle)
        self._steps = self.handle._numbered_end(STEP, self.handle.get(RETENTION, {}).get("steps_from", 0))
        # The last one: it says that the others are known.
        self._end = self.source.end

    def _look(self) -> None:
        # The scope may have been cleared past the agent: what is written on top of what was there would be lost.
        if self._end < 0 or not self._has(AGENT):
            self._learn()

    def end(self) -> int:
        """The number behind the last message."""
        with self.lock:
            self._look()
            return self._end

    @contextmanager
    def reading(self) -> Iterator[tuple[Source, int]]:
        """The agent, and the number behind its last message, while nobody saves."""
        with self.lock:
            self._look()
            yield self.source, self._end

    def append(self, message: Any) -> int:
        """Save one message; return the version. Cost: one record, whatever there is already."""
        with self.lock:
            if self._end >= 0 and self._has(AGENT):
                try:
                    return self._append(message)
                except Conflict:
                    # Somebody wrote past the agent.
                    self._end = -1
            change = Change()
            change.appended.append(message)
            return self._save_changes(change, None)

    def _append(self, message: Any) -> int:
        end = self._end
        version = self._add(MESSAGE, end, message)
        # What encodes the message may have asked, or changed, the agent.
        if self._end == end:
            self._end = end + 1
        return version

    def put(self, key: str, value: Any) -> int:
        """Save one entry, and keep what it replaces; return the version. Cost: one record, or a batch of two."""
        with self.lock:
            if self._end >= 0 and self._has(AGENT):
                try:
                    version, replaced = self.handle._replace(key, value)
                    self.replaced_count += replaced
                    return version
                except Conflict:
                    # Somebody wrote past the agent.
                    self._end = -1
            change = Change()
            change.put[key] = value
            return self._save_changes(change, None)

    def save(self, change: Change | Callable[[], Change], label: str | None = None) -> int:
        """Save everything or nothing; return the version, or 0 when there was nothing to write.

        A change that depends on what there is comes as a function, which is asked again when somebody else was first.
        """
        with self.lock:
            return self._save_changes(change, label)

    def _save_changes(self, change: Change | Callable[[], Change], label: str | None) -> int:
        attempt = 1
        while True:
            self._look()
            try:
                return self._try_save(change if isinstance(change, Change) else change(), label)
            except Conflict:
                # Somebody wrote past the agent.
                self._end = -1
                if attempt == _ATTEMPTS:
                    raise
                attempt += 1
            except LimitExceeded as refusal:
                if not refusal.code.startswith("batch."):
                    raise
                raise LimitExceeded(
                    "one save of an agent takes 100,000 entries and 1 GiB, what it replaces and a few of its own among "
                    "them, and nothing of this one is saved: make several of it, such as extend() with a part each",
                    code=refusal.code,
                ) from refusal

    def _try_save(self, change: Change, label: str | None) -> int:
        if label is None and change.is_one_message and self._has(AGENT) and not asks(self.handle.store, "batch"):
            return self._append(change.appended[0])
        handle, put, end = self.handle, dict(change.put), self._end
        for key in change.fold:
            before = put[key] if key in put else self.source.value(key)
            put[key] = change.folded(key, None if is_gone(before) else before)
        if change.deleted or any(key.startswith(EDIT) for key in put):
            put |= self._conversation_put(change)
        batch, steps = Batch(handle.store), self._steps
        replaced = 0
        if not self._has(AGENT) and (change or label is not None):
            batch.set(handle.scope, AGENT, {"schema": SCHEMA}, if_version=0)
        for key, value in put.items():
            replaced += self._put(batch, key, value)
        for number, message in enumerate(change.appended, end):
            batch.set(handle.scope, numbered(MESSAGE, number), message, if_version=0)
        if not len(batch) and label is None:
            return 0
        # A removal leaves no entry that tells of it, so a step does.
        if len(batch) - replaced > 1 or label is not None or any(map(is_gone, put.values())):
            step = {"records": len(batch) + 1} | ({} if label is None else {"label": label})
            batch.set(handle.scope, numbered(STEP, steps), step, if_version=0)
            stepped = 1
        else:
            stepped = 0
        version = batch.commit(acknowledge=False)
        self._end = end + len(change.appended)
        self._steps = steps + stepped
        self.replaced_count += replaced
        return version

    def _conversation_put(self, change: Change) -> dict[str, Any]:
        before = conversation = self.source.conversation
        for start, stop in change.deleted:
            conversation = conversation.without(start, stop)
        if any(key.startswith(EDIT) for key in change.put):
            conversation = conversation._replace(edited=True)
        return {} if conversation == before else {CONVERSATION: conversation.stored()}

    def _put(self, batch: Batch, key: str, value: Any) -> int:
        """Add one entry, and what it replaces to the past; return how many records the past took."""
        handle = self.handle
        stamp = handle._stamp(key)
        if stamp is None:
            if not is_gone(value):
                batch.set(handle.scope, key, value, if_version=0)
            elif self._is_inherited(key):
                batch.set(handle.scope, key, GONE, if_version=0)
            return 0
        if batch._copy(handle.scope, key, past_key(key, *stamp)) != stamp[0]:
            raise Conflict(f"{key!r} changed meanwhile", code="cas.version_mismatch")
        if is_gone(value) and not self._is_inherited(key):
            batch.delete(handle.scope, key, if_version=stamp[0])
        else:
            batch.set(handle.scope, key, value, if_version=stamp[0])
        return 1

    def _is_inherited(self, key: str) -> bool:
        return self.source.base is not None and self.source.base.find(key) is not None
