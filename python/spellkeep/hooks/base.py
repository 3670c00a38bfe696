"""Base classes of hooks that are objects: one may refuse, the other only looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from spellkeep.changes import StateClass
from spellkeep.hooks.result import HookPoint, HookResult
from spellkeep.scope import ScopeKind


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


class Validator(_HookObject):
    """May modify and refuse, and nothing passes that it did not see: when it raises, or its breaker is open, the
    operation does not happen and its caller gets HookVeto."""

    fail_closed = True


class Observer(_HookObject):
    """Only looks: whatever it does, the operation goes on."""

    fail_closed = False
