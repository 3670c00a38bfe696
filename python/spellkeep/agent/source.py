"""Reading an agent: as it is now, or as it was at a version, on top of what a fork began with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spellkeep.agent.conversation import Conversation
from spellkeep.agent.layout import (
    AGENT,
    CONVERSATION,
    EDIT,
    FORK,
    MESSAGE,
    PAST,
    RETENTION,
    TAG,
    is_agent,
    is_gone,
    numbered,
    past_of,
)
from spellkeep.changes import Entry, time_from_us
from spellkeep.errors import Corrupted, KeyMissing, SchemaMismatch
from spellkeep.handle import ScopeHandle
from spellkeep.scope import StateScope


def agent_of(handle: ScopeHandle) -> dict[str, Any] | None:
    """The entry that makes a scope an agent; None: there is none.

    Raises: SchemaMismatch (agent.schema) when somebody else wrote it, or a later version of this library.
    """
    stored = handle.get(AGENT)
    if stored is not None and not is_agent(stored):
        raise SchemaMismatch(
            f"the entry {AGENT!r} of {handle.scope} is {stored!r:.60}, which is no agent that this spellkeep "
            "knows: take another id, or update it",
            code="agent.schema",
        )
    found: dict[str, Any] | None = stored
    return found


class Source:
    """The entries of one agent as of `version`, or as they are now when that is None.

    Attributes:
        base: what it was forked from, as of then; None: it is no fork.
        base_end: messages below this number are the base's.
        is_before: whether `version` is older than the fork, so that all of it is the base's.
    """

    def __init__(self, handle: ScopeHandle, version: int | None = None) -> None:
        self.handle = handle
        self.version = version
        self.base: Source | None = None
        self.base_end = 0
        self.is_before = False
        # A chain, not a recursion: forks of forks may go deeper than Python calls.
        chain, ends = [self], list[int | None]()
        while (stored := agent_of(chain[-1].handle)) is not None and "base" in stored:
            above, base = chain[-1], stored["base"]
            early = above.version is not None and above.version <= base["version"]
            below = object.__new__(Source)
            below.handle = ScopeHandle(handle.store, StateScope.agent(base["agent"]), handle.state_class)
            below.is_before = False
            below.version = above.version if early else base["version"]
            below.base, below.base_end = None, 0
            chain.append(below)
            ends.append(None if early else base["end"])
        for above, below, end in reversed(list(zip(chain, chain[1:], ends, strict=False))):
            above.base = below
            above.base_end = below.end if end is None else end
            above.is_before = end is None

    def _chain(self) -> Iterator[Source]:
        source: Source | None = self
        while source is not None:
            yield source
            source = source.base

    def find(self, key: str) -> Entry | None:
        """What is under a key; None: nothing."""
        for source in self._chain():
            if (found := source._own(key)) is not None:
                return None if is_gone(found.value) else found
        return None

    def _own(self, key: str) -> Entry | None:
        entry = self.handle._entry_or_none(key)
        if self.version is None or (entry is not None and entry.version <= self.version):
            return entry
        for held, until, _ in reversed(self.handle._stamps(f"{PAST}{key}/")):
            past = past_of(held)
            if past.key == key and past.version <= self.version <= until:
                entry = self.handle._entry_or_none(held)
                if entry is not None:
                    return entry._replace(version=past.version, updated_at=time_from_us(past.time_us))
        self._check_kept()
        return None

    def _check_kept(self) -> None:
        """Raise when the version is no longer kept: what is not found then may have been there.

        Called behind the look, as the horizon is moved before anything is cleared away.
        """
        if self.version is None or self.is_before:
            return
        stamp = self.handle._stamp(AGENT)
        if stamp is not None and stamp[0] <= self.version:
            horizon = self.handle.get(RETENTION, {}).get("horizon", 0)
            if self.version >= horizon or self._pinned_end() is not None:
                return
        raise KeyMissing(f"version {self.version} is no longer kept", code="agent.version_missing")

    def _pinned_end(self) -> int | None:
        """Where the messages end in a version that a tag or a fork keeps."""
        for prefix in (TAG, FORK):
            for _, pin in self.handle.iter_items(prefix):
                if pin["version"] == self.version:
                    return int(pin["end"])
        return None

    def value(self, key: str, default: Any = None) -> Any:
        """The value under a key."""
        if self.version is None and self.base is None:
            return self.handle.get(key, default)
        found = self.find(key)
        return default if found is None else found.value

    def names(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, in order, without it."""
        if self.version is None and self.base is None:
            keys = self.handle.list_keys(prefix)
        else:
            keys = sorted({key for source in self._chain() for key in source._own_keys(prefix)})
            if self.base is not None:
                keys = [key for key in keys if self.find(key) is not None]
        return [key[len(prefix) :] for key in keys]

    def _own_keys(self, prefix: str) -> Iterator[str]:
        if self.version is None:
            yield from self.handle.list_keys(prefix)
            return
        yield from (key for key, version, _ in self.handle._stamps(prefix) if version <= self.version)
        for held, until, _ in self.handle._stamps(PAST + prefix):
            past = past_of(held)
            if past.version <= self.version <= until:
                yield past.key
        self._check_kept()

    @property
    def conversation(self) -> Conversation:
        """Which messages there are."""
        stored = self.value(CONVERSATION)
        return Conversation() if stored is None else Conversation.of(stored)

    @property
    def end(self) -> int:
        """The number behind the last message. Cost: O(log messages)."""
        if self.is_before:
            return self.base_end
        end = self.handle._numbered_end(MESSAGE, self._first_own())
        if self.version is None:
            return end
        # Below the horizon, messages behind it may have been cleared away, so those that keep it know.
        horizon = self.handle.get(RETENTION, {}).get("horizon", 0)
        if self.version < horizon and (pinned := self._pinned_end()) is not None:
            return pinned
        low, high = self.base_end, end
        while low < high:
            middle = (low + high) // 2
            # 0: cleared away, as it was gone at the horizon already.
            if self.handle.version(numbered(MESSAGE, middle)) <= self.version:
                low = middle + 1
            else:
                high = middle
        return low

    def _first_own(self) -> int:
        # Messages that are gone may have been cleared away; behind the last of those none is missing.
        stored = self.handle.get(CONVERSATION)
        if stored is None:
            return self.base_end
        first: int = max([self.base_end, stored["first"], *(stop for _, stop in stored["gone"])])
        return first

    def message(self, number: int, edited: bool) -> Entry:
        """A message that is there, with when it was written."""
        if edited and (found := self.find(numbered(EDIT, number))) is not None:
            return found
        for source in self._chain():
            if number >= source.base_end:
                found = source.handle._entry_or_none(numbered(MESSAGE, number))
                if found is not None:
                    return found
                break
        raise Corrupted(
            f"message {number} of {self.handle.scope} is not there, though its conversation has it",
            code="agent.message_missing",
        )

    def messages(self, start: int, stop: int, edited: bool) -> list[Any]:
        """The values of a range of messages that are there."""
        pieces, source, high = list[list[Any]](), self, stop
        while high > start:
            low = max(start, source.base_end)
            if low < high:
                pieces.append(source.handle._numbered(MESSAGE, low, high))
                high = low
            if source.base is None:
                break
            source = source.base
        values = pieces[0] if len(pieces) == 1 else [value for piece in reversed(pieces) for value in piece]
        if edited:
            for name in self.names(EDIT):
                if start <= int(name) < stop:
                    values[int(name) - start] = self.value(EDIT + name)
        return values
