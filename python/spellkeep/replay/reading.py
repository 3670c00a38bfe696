"""The store as it was at a version, read from histories and the log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from spellkeep.changes import Change
from spellkeep.errors import LimitExceeded
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

_HISTORY_COUNT = 64


class Reads(Protocol):
    """What a sandbox reads from. It has no way to write."""

    version: int

    def found(self, scope: StateScope, key: str) -> Change | None:
        """The change that made the value under `key`; None: there was none."""

    def keys(self, scope: StateScope) -> list[str]:
        """The keys of a scope, in order."""

    def scopes(self) -> list[StateScope]:
        """The scopes that held a key, in order."""

    def history(self, scope: StateScope, key: str, limit: int) -> list[Change]:
        """The changes of a key, newest first."""


class Reader:
    """The store as it was at `version`, when the clock said `moment`.

    Raises: LimitExceeded (replay.trimmed) when the log no longer says what was there then.
    Cost: a value, one read of the log per later change of its key; keys and scopes, the whole log up to `version`.
    """

    def __init__(self, state: StateManager, version: int, moment: datetime) -> None:
        self._state = state
        self.version = version
        self._moment = moment
        self._held: dict[StateScope, dict[str, Change]] | None = None

    def found(self, scope: StateScope, key: str) -> Change | None:
        """See `Reads`."""
        last = next(self._until_now(scope, key), None)
        return last if last is not None and self._is_there(last) else None

    def keys(self, scope: StateScope) -> list[str]:
        """See `Reads`."""
        return sorted(self._all().get(scope, ()))

    def scopes(self) -> list[StateScope]:
        """See `Reads`."""
        return sorted(scope for scope, held in self._all().items() if held)

    def history(self, scope: StateScope, key: str, limit: int) -> list[Change]:
        """See `Reads`."""
        return [change for change, _ in zip(self._until_now(scope, key), range(limit), strict=False)]

    def _is_there(self, change: Change) -> bool:
        return change.operation == "set" and (change.expires_at is None or change.expires_at > self._moment)

    def _until_now(self, scope: StateScope, key: str) -> Iterator[Change]:
        count, seen = _HISTORY_COUNT, 0
        while True:
            changes = self._state.history(scope, key, limit=count)
            then = [change for change in changes if change.version <= self.version]
            yield from then[seen:]
            seen = len(then)
            if len(changes) < count:
                break
            count *= 8
        if not seen and not self._log_is_whole():
            raise _trimmed(self.version)

    def _log_is_whole(self) -> bool:
        oldest = next(iter(self._state.changes()), None)
        return self._state.last_version == 0 if oldest is None else oldest.version == 1

    def _all(self) -> dict[StateScope, dict[str, Change]]:
        if self._held is None:
            if not self._log_is_whole():
                raise _trimmed(self.version)
            held: dict[StateScope, dict[str, Change]] = {}
            for change in takewhile(lambda change: change.version <= self.version, self._state.changes()):
                inside = held.setdefault(change.scope, {})
                if change.operation == "clear":
                    inside.clear()
                elif change.operation == "set" and change.key is not None:
                    inside[change.key] = change
                elif change.operation != "event" and change.key is not None:
                    inside.pop(change.key, None)
            self._held = {
                scope: {key: change for key, change in inside.items() if self._is_there(change)}
                for scope, inside in held.items()
            }
        return self._held


def _trimmed(version: int) -> LimitExceeded:
    detail = f"the log no longer says what was there at version {version}: keep_log_bytes, keep_log_days"
    return LimitExceeded(detail, code="replay.trimmed")
