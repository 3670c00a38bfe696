"""What stands for the store in a replay: reads as of a version; writes are refused, or kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from types import TracebackType
from typing import Any, Self

from spellkeep.changes import Change, Entry, StateClass
from spellkeep.errors import Conflict, KeyMissing, ReadOnly
from spellkeep.redaction import HIDDEN, is_sealed
from spellkeep.replay.reading import Reads
from spellkeep.scope import StateScope
from spellkeep.value import decode, encode

_MISSING = object()

Write = tuple[str, str, str | None, Any]
"""Operation, scope, key, value: what a hook wrote into a sandbox."""


def _shown(change: Change) -> Any:
    # What a hook makes of it is shown in reports.
    return HIDDEN if is_sealed(change.state_class) else change.value


def _unopened(change: Change) -> Change:
    # One that was pickled has no keys.
    return Change._restore(change.__reduce__()[1][0]) if is_sealed(change.state_class) else change


class Sandbox:
    """The store as a replayed hook sees it. It holds a reader, and no way to the store. What is sealed is hidden.

    Attributes:
        writes: what was written here, in order; nobody else sees it.
        refused: whether something was to be written where nothing may be.
        last_version: the version that it shows.
    """

    def __init__(self, reader: Reads, *, writable: bool) -> None:
        self._reader = reader
        self._writable = writable
        self.writes: list[Write] = []
        self.refused = False
        # What was written: encoded, with a version; None where it was removed.
        self._over: dict[tuple[StateScope, str], tuple[bytes, int] | None] = {}
        self._cleared: set[StateScope] = set()

    @property
    def last_version(self) -> int:
        """The version that it shows, and one more for each write here."""
        return self._reader.version + len(self.writes)

    # reading

    def _below(self, scope: StateScope, key: str) -> Change | None:
        return None if scope in self._cleared else self._reader.found(scope, key)

    def get(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """As ``StateManager.get``."""
        over = self._over.get((scope, key), _MISSING)
        if over is _MISSING:
            found = self._below(scope, key)
            return default if found is None else _shown(found)
        return default if over is None else decode(over[0])  # type: ignore[index]

    def version(self, scope: StateScope, key: str) -> int:
        """The version under `key`, or 0."""
        over = self._over.get((scope, key), _MISSING)
        if over is _MISSING:
            found = self._below(scope, key)
            return 0 if found is None else found.version
        return 0 if over is None else over[1]  # type: ignore[index]

    def entry(self, scope: StateScope, key: str) -> Entry:
        """As ``StateManager.entry``; of what was written here, without its times."""
        if (scope, key) not in self._over and (found := self._below(scope, key)) is not None:
            return Entry(_shown(found), found.version, found.at, found.expires_at, found.state_class)
        value = self.get(scope, key, _MISSING)
        if value is _MISSING:
            raise KeyMissing(f"there is nothing under {key!r}", code="key.missing")
        return Entry(value, self.version(scope, key), None, None, StateClass.STANDARD)  # type: ignore[arg-type]

    def exists(self, scope: StateScope, key: str) -> bool:
        """As ``StateManager.exists``."""
        return self.version(scope, key) > 0

    def list_keys(self, scope: StateScope, prefix: str = "") -> list[str]:
        """As ``StateManager.list_keys``."""
        keys = set() if scope in self._cleared else set(self._reader.keys(scope))
        for (where, key), over in self._over.items():
            if where == scope:
                (keys.discard if over is None else keys.add)(key)
        return sorted(key for key in keys if key.startswith(prefix))

    def items(self, scope: StateScope, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """As ``StateManager.items``."""
        return ((key, self.get(scope, key)) for key in self.list_keys(scope, prefix))

    def list_scopes(self) -> list[StateScope]:
        """As ``StateManager.list_scopes``."""
        scopes = {*self._reader.scopes(), *(scope for scope, _ in self._over)}
        return sorted(scope for scope in scopes if self.list_keys(scope))

    def history(self, scope: StateScope, key: str, *, limit: int = 100) -> list[Change]:
        """As ``StateManager.history``, without what was written here."""
        return [_unopened(change) for change in self._reader.history(scope, key, limit)]

    def scope(self, scope: StateScope, *, state_class: StateClass = StateClass.STANDARD) -> SandboxScope:
        """As ``StateManager.scope``."""
        return SandboxScope(self, scope, state_class)

    # writing

    def _write(self, operation: str, scope: StateScope, key: str | None, value: Any = None) -> int:
        if not self._writable:
            self.refused = True
            raise ReadOnly("this is being replayed: nothing is written", code="replay.read_only")
        self.writes.append((operation, str(scope), key, value))
        return self.last_version

    def set(
        self,
        scope: StateScope,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        state_class: StateClass | None = None,
        **how: Any,
    ) -> int:
        """As ``StateManager.set``, here only; it does not expire."""
        encoded = encode(value)
        self._expect(scope, key, if_version)
        # What was written is shown in reports.
        version = self._write("set", scope, key, HIDDEN if is_sealed(state_class) else decode(encoded))
        self._over[scope, key] = (encoded, version)
        return version

    def delete(self, scope: StateScope, key: str, *, if_version: int | None = None) -> int:
        """As ``StateManager.delete``, here only."""
        self._expect(scope, key, if_version)
        if self._writable and not self.exists(scope, key):
            return 0
        version = self._write("delete", scope, key)
        self._over[scope, key] = None
        return version

    def clear_scope(self, scope: StateScope) -> int:
        """As ``StateManager.clear_scope``, here only."""
        count = len(self.list_keys(scope)) if self._writable else 0
        self._write("clear", scope, None)
        self._cleared.add(scope)
        self._over = {place: over for place, over in self._over.items() if place[0] != scope}
        return count

    def _expect(self, scope: StateScope, key: str, if_version: int | None) -> None:
        if self._writable and if_version is not None and (now := self.version(scope, key)) != if_version:
            detail = f"{key!r} has version {now}, not {if_version}"
            fields = {"expected_version": if_version, "current_version": now, "current": self.get(scope, key)}
            raise Conflict(detail, code="cas.version_mismatch", **fields)

    def batch(self) -> SandboxBatch:
        """As ``StateManager.batch``, here only."""
        return SandboxBatch(self)

    @property
    def events(self) -> SandboxEvents:
        """As ``StateManager.events``, here only."""
        return SandboxEvents(self)

    async def aget(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """As ``get``."""
        return self.get(scope, key, default)

    async def aset(self, scope: StateScope, key: str, value: Any, **how: Any) -> int:
        """As ``set``."""
        return self.set(scope, key, value, **how)

    async def adelete(self, scope: StateScope, key: str, **how: Any) -> int:
        """As ``delete``."""
        return self.delete(scope, key, **how)


class SandboxEvents:
    """The events of a sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def emit(self, type: str, data: Any = None, *, scope: StateScope = StateScope.GLOBAL, **how: Any) -> int:
        """As ``Events.emit``, here only."""
        return self._sandbox._write("event", scope, type, data)


class SandboxBatch:
    """A batch of a sandbox: what is added is done at the end of the block."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._calls: list[Callable[[], int]] = []

    def set(self, scope: StateScope, key: str, value: Any, **how: Any) -> None:
        """Add a set."""
        self._calls.append(lambda: self._sandbox.set(scope, key, value, **how))

    def delete(self, scope: StateScope, key: str, **how: Any) -> None:
        """Add a delete."""
        self._calls.append(lambda: self._sandbox.delete(scope, key, **how))

    def commit(self) -> int:
        """Do what was added; return the last version."""
        calls, self._calls = self._calls, []
        box = self._sandbox
        before = dict(box._over), set(box._cleared), list(box.writes)
        try:
            return max((call() for call in calls), default=0)
        except BaseException:
            # All or nothing, here too.
            box._over, box._cleared, box.writes = before
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()


class SandboxScope(MutableMapping[str, Any]):
    """One scope of a sandbox."""

    def __init__(self, sandbox: Sandbox, scope: StateScope, state_class: StateClass = StateClass.STANDARD) -> None:
        self._sandbox = sandbox
        self.scope = scope
        self._state_class = state_class

    def __getitem__(self, key: str) -> Any:
        return self._sandbox.entry(self.scope, key).value

    def __setitem__(self, key: str, value: Any) -> None:
        self._sandbox.set(self.scope, key, value, state_class=self._state_class)

    def __delitem__(self, key: str) -> None:
        if not self._sandbox.delete(self.scope, key):
            raise KeyMissing(f"there is nothing under {key!r}", code="key.missing")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sandbox.list_keys(self.scope))

    def __len__(self) -> int:
        return len(self._sandbox.list_keys(self.scope))

    def list_keys(self, prefix: str = "") -> list[str]:
        """As ``ScopeHandle.list_keys``."""
        return self._sandbox.list_keys(self.scope, prefix)

    def set(self, key: str, value: Any, **how: Any) -> int:
        """As ``ScopeHandle.set``, here only."""
        return self._sandbox.set(self.scope, key, value, **{"state_class": self._state_class} | how)

    def version(self, key: str) -> int:
        """The version under `key`, or 0."""
        return self._sandbox.version(self.scope, key)
