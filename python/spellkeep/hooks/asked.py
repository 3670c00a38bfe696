"""What a registration asks for, checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from spellkeep import _core
from spellkeep.changes import StateClass
from spellkeep.errors import InvalidKey
from spellkeep.hooks.result import HookPoint
from spellkeep.scope import ScopeKind

if TYPE_CHECKING:
    import asyncio

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_NAME_MAX = 64
_KINDS: tuple[ScopeKind, ...] = ("global", "user", "session", "agent", "tool", "workflow", "step", "custom")


def check_name(name: str) -> None:
    """Raises: InvalidKey (hook.name)."""
    if len(name) > _NAME_MAX or _NAME.fullmatch(name) is None:
        raise InvalidKey(f"{name!r}: a hook's name is 1 to 64 of A-Z a-z 0-9 . _ -", code="hook.name")


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, for its hook."""
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise InvalidKey("give the hook a name: name=", code="hook.name")
    return name


def filter_of(
    scope: str | None, key: str | None, scope_kind: ScopeKind | None, state_class: StateClass | None
) -> _core.HookFilter:
    """The filter that these arguments make."""
    if scope_kind is not None and scope_kind not in _KINDS:
        raise ValueError(f"scope_kind is one of {', '.join(_KINDS)}, not {scope_kind!r}")
    kinds = None if scope_kind is None else 1 << (_KINDS.index(scope_kind) + 1)
    classes = None if state_class is None else 1 << state_class.value
    return _core.HookFilter(kinds=kinds, classes=classes, scope=scope, key=key)


def running_loop(name: str) -> asyncio.AbstractEventLoop:
    """Where an async hook is to run."""
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise TypeError(f"hook {name!r} is async: register it where an event loop is running") from None


def when_of(points: Sequence[HookPoint], batch: bool) -> str:
    """What the history says of when a hook with these points runs."""
    before = {point.is_before for point in points}
    lists = batch or HookPoint.AFTER_BATCH in points
    return "both" if len(before) > 1 else "before" if True in before else "lists" if lists else "after"
