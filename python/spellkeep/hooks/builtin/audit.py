"""A trail of changes that shows when something was taken out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spellkeep.hooks.base import Keeper, Observer
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

AUDIT = StateScope.custom("spellkeep.audit")
"""Where the trail is."""

_FIELDS = ("operation", "scope", "key", "at", "actor", "correlation", "cause", "digest")


class Audit(Observer, Keeper):
    """Keeps who changed what and when, never values, in ``custom:spellkeep.audit``; each has a hash over all before it.

    So what is taken out or changed in the middle shows; what is cut off at the end does not. The trail is written in
    one batch with how far it goes: each change is in it once, whenever the process is killed. A store has one trail.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire", "after_event")

    def __init__(self) -> None:
        self._last, self._version = "", 0
        # By their keys: what is not written yet.
        self._entries: dict[str, dict[str, Any]] = {}

    def decide(self, context: Any) -> None:
        """Add it. A change that comes a second time is there already."""
        if context.version <= self._version:
            return
        entry = {name: getattr(context, name) for name in _FIELDS}
        entry |= {"scope": str(context.scope), "at": context.at.isoformat()}
        entry["chain"] = _chained(self._last, context.version, entry)
        self._entries[f"{context.version:020d}"] = entry
        self._last, self._version = entry["chain"], context.version

    def restore(self, state: StateManager, name: str) -> None:
        """See `Keeper`."""
        keys = state.list_keys(AUDIT)
        self._entries = {}
        self._last, self._version = (state.get(AUDIT, keys[-1])["chain"], int(keys[-1])) if keys else ("", 0)

    def keep(self) -> Iterable[tuple[StateScope, str, Any]]:
        """See `Keeper`."""
        return [(AUDIT, key, entry) for key, entry in self._entries.items()]

    def kept(self) -> None:
        """See `Keeper`."""
        self._entries = {}

    @staticmethod
    def verify(state: StateManager) -> list[int]:
        """The versions whose entries do not fit the ones before: something was changed or taken out there."""
        wrong, last = [], ""
        for key, entry in state.items(AUDIT):
            if entry["chain"] != _chained(last, int(key), entry):
                wrong.append(int(key))
            last = entry["chain"]
        return wrong


def _chained(last: str, version: int, entry: dict[str, Any]) -> str:
    said = repr((last, version, [entry[name] for name in _FIELDS]))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()
