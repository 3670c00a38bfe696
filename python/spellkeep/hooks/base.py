"""Base classes of hooks that are objects: one may refuse, the other only looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from spellkeep.changes import StateClass
from spellkeep.hooks.result import HookPoint, HookResult
from spellkeep.scope import ScopeKind, StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager


class _HookObject(ABC):
    """What `HookRegistry.register` takes. The attributes are the defaults of its arguments.

    Attributes:
        name: how it is listed; None: the name of its class.
        points: when it runs.
        priority: lower runs earlier.
        scope, key: patterns; ``*`` is any text, ``?`` one character. None: all.
        scope_kind, state_class: only these. None: all.
        budget_s: an execution beyond this counts as slow.
    """

    name: str | None = None
    points: Iterable[HookPoint | str] = ()
    priority: int = 0
    scope: str | None = None
    key: str | None = None
    scope_kind: ScopeKind | None = None
    state_class: StateClass | None = None
    budget_s: float = 0.05

    fail_closed: ClassVar[bool]

    @abstractmethod
    def decide(self, context: Any) -> HookResult | None:
        """Answer: a `HookContext` before an operation, a `Change` after it."""


class Keeper(ABC):
    """What an after-hook knows that must fit its position exactly: it is kept in the batch that stores that.

    Called by the thread that delivers, and never while the hook runs.
    """

    @abstractmethod
    def restore(self, state: StateManager, name: str) -> None:
        """Be what was kept under this name. Before anything is delivered."""

    @abstractmethod
    def keep(self) -> Iterable[tuple[StateScope, str, Any]]:
        """What is to be kept as of now. Asked again when it could not be written."""

    def kept(self) -> None:
        """That is written."""
        return None


class Validator(_HookObject):
    """May modify and refuse, and nothing passes that it did not see: when it raises, or its breaker is open, the
    operation does not happen and its caller gets HookVeto."""

    fail_closed = True


class Observer(_HookObject):
    """Only looks: whatever it does, the operation goes on."""

    fail_closed = False
