"""The call of a store about hooks. The room itself is imported with the first hook."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

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


def asks(state: StateManager, operation: str) -> bool:
    """Whether a hook runs before `operation`. Cost: a look into two dicts."""
    hooks: HookRegistry | None = state.__dict__.get("_hooks")
    return hooks is not None and operation in hooks._asked


def tells(state: StateManager, operation: str) -> bool:
    """Whether a hook is registered for after `operation`."""
    hooks: HookRegistry | None = state.__dict__.get("_hooks")
    return hooks is not None and operation in hooks._told_of


def ask(state: StateManager, operation: str, scope: StateScope, value: Any = None, version: int = 0) -> Any:
    """Ask the hooks before `operation`; return an object with the value as they leave it, whose ``done`` is told the
    version that came of it. None: nobody asks. Raises what a validator says."""
    if not asks(state, operation):
        return None
    return state.hooks._ask(operation, scope, value, version)


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
