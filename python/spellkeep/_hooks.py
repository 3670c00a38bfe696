"""The call of a store about hooks. The room itself is imported with the first hook."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.hooks import HookRegistry
    from spellkeep.store import StateManager

_making = threading.Lock()


def _begin_anew() -> None:
    """In a forked child the lock may be held by a thread that is not there."""
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


def positions_of(state: StateManager) -> dict[str, int]:
    """How far the store says that each after-hook came, registered or not."""
    found = {}
    scope = StateScope.custom("spellkeep.hooks")
    for key in state.list_keys(scope, "position/"):
        stored = state.get(scope, key)
        if stored is not None and stored["version"] is not None:
            found[key.removeprefix("position/")] = int(stored["version"])
    return found


class HookCalls:
    """What `StateManager` has for hooks."""

    _hooks: HookRegistry

    @property
    def hooks(self) -> HookRegistry:
        """The hooks of this store. See ``spellkeep.hooks``."""
        found: HookRegistry | None = self.__dict__.get("_hooks")
        if found is None:
            from spellkeep.hooks.registry import HookRegistry

            with _making:
                found = self.__dict__.setdefault("_hooks", HookRegistry(self))  # type: ignore[arg-type]
        return found
