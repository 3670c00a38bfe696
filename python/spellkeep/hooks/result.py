"""What hooks run at, and what they answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

from spellkeep.redaction import Redactor

_redactor = Redactor()
_AFTER_MAX_S = 1e9

Action: TypeAlias = Literal["proceed", "modify", "cancel", "retry", "skip"]
"""What a hook wants."""


class HookPoint(enum.StrEnum):
    """When a hook runs: in the caller before an operation, or in the background after it was committed."""

    BEFORE_SET = "before_set"
    BEFORE_DELETE = "before_delete"
    BEFORE_CLEAR = "before_clear"
    BEFORE_BATCH = "before_batch"
    BEFORE_AGENT_SAVE = "before_agent_save"
    BEFORE_AGENT_LOAD = "before_agent_load"
    BEFORE_SESSION_START = "before_session_start"
    BEFORE_SESSION_END = "before_session_end"
    AFTER_SET = "after_set"
    AFTER_DELETE = "after_delete"
    AFTER_CLEAR = "after_clear"
    AFTER_BATCH = "after_batch"
    AFTER_EXPIRE = "after_expire"
    AFTER_EVENT = "after_event"
    AFTER_AGENT_SAVE = "after_agent_save"
    AFTER_AGENT_LOAD = "after_agent_load"
    AFTER_SESSION_START = "after_session_start"
    AFTER_SESSION_END = "after_session_end"

    @property
    def is_before(self) -> bool:
        """Whether it is before the operation."""
        return self.startswith("before_")

    @property
    def operation(self) -> str:
        """``set``, ``agent_save`` and so on: what stands behind ``before_`` or ``after_``."""
        return self.partition("_")[2]


BEFORE = tuple(point for point in HookPoint if point.is_before)
"""In the order in which the compiled core counts them."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """A hook's answer; None counts as ``proceed()``.

    Attributes:
        action: what it wants.
        value: of ``modify``, what is to be stored instead.
        reason: of ``cancel`` and ``retry``, for people.
        after_s: of ``retry``, how long to wait.
    """

    action: Action
    value: Any = None
    reason: str | None = None
    after_s: float = 0.0

    def __post_init__(self) -> None:
        """However it is made: a reason has no secrets, and a hook that wants a time which is none has failed."""
        if self.reason is not None:
            object.__setattr__(self, "reason", _redactor.text(self.reason))
        if not isinstance(self.after_s, int | float) or not 0 <= self.after_s <= _AFTER_MAX_S:
            raise ValueError(f"after_s= is 0 to {_AFTER_MAX_S:g} seconds, not {self.after_s!r}")

    _PROCEED: ClassVar[HookResult]
    _SKIP: ClassVar[HookResult]

    @classmethod
    def proceed(cls) -> HookResult:
        """Go on."""
        return cls._PROCEED

    @classmethod
    def skip(cls) -> HookResult:
        """Go on; it was no matter of this hook's. Counted apart."""
        return cls._SKIP

    @classmethod
    def modify(cls, value: Any) -> Self:
        """Before a set: store this value instead. The hooks behind this one see it."""
        return cls("modify", value)

    @classmethod
    def cancel(cls, reason: str) -> Self:
        """Before an operation: it does not happen, and its caller gets HookVeto (hook.veto). The reason ends in logs
        and in the history: what looks like a secret is left out of it."""
        return cls("cancel", None, reason)

    @classmethod
    def retry(cls, after_s: float, reason: str | None = None) -> Self:
        """Not now. Before: HookVeto (hook.retry) with ``retry_after_s``. After: deliver it again in so many seconds."""
        return cls("retry", None, reason, after_s)


HookResult._PROCEED = HookResult("proceed")
HookResult._SKIP = HookResult("skip")
