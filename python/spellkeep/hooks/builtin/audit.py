"""A trail of changes that shows when something was taken out of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from spellkeep.errors import Conflict
from spellkeep.hooks.base import Observer
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

AUDIT = StateScope.custom("spellkeep.audit")
"""Where the trail is."""

_FIELDS = ("operation", "scope", "key", "at", "actor", "correlation", "cause", "digest")


class Audit(Observer):
    """Keeps who changed what and when, never values, in ``custom:spellkeep.audit``; each has a hash over all before it.

    So what is taken out or changed in the middle shows; what is cut off at the end does not.

    Args:
        state: the store that it is registered with.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire", "after_event")

    def __init__(self, state: StateManager) -> None:
        self._trail = state.scope(AUDIT)
        keys = self._trail.list_keys()
        self._last = self._trail[keys[-1]]["chain"] if keys else ""

    def decide(self, context: Any) -> None:
        """Keep it. A change that comes a second time is there already."""
        entry = {name: getattr(context, name) for name in _FIELDS}
        entry |= {"scope": str(context.scope), "at": context.at.isoformat()}
        entry["chain"] = _chained(self._last, context.version, entry)
        key = f"{context.version:020d}"
        try:
            self._trail.set(key, entry, if_version=0)
        except Conflict:
            return
        self._last = entry["chain"]

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
