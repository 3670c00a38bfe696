"""``state.hooks``: the hooks of a store."""

from __future__ import annotations

import inspect
import re
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from spellkeep import _core
from spellkeep.breaker import BreakerOptions
from spellkeep.changes import StateClass
from spellkeep.errors import Conflict, InvalidKey, KeyMissing, LimitExceeded
from spellkeep.hooks.base import Observer, Validator
from spellkeep.hooks.registered import HookInfo, HookStats, Registered
from spellkeep.hooks.result import BEFORE, HookPoint
from spellkeep.scope import ScopeKind, StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

F = TypeVar("F", bound=Callable[..., Any])

HOOKS = StateScope.custom("spellkeep.hooks")
"""Where hooks keep what they know of themselves. No hook runs for it, nor for any ``custom:spellkeep.*``."""

HOOKS_MAX = 1_000
"""Most hooks of a store."""

_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_NAME_MAX = 64
_DISABLED = "disabled/"
_KINDS: tuple[ScopeKind, ...] = ("global", "user", "session", "agent", "tool", "workflow", "step", "custom")


class HookRegistry:
    """The hooks of one store: registering, listing, switching off and on, figures. For any number of threads."""

    def __init__(self, state: StateManager) -> None:
        self._state = weakref.ref(state)
        self._lock = threading.Lock()
        self._hooks: dict[str, Registered] = {}
        # The compiled core has it by a weak reference only, so that the collector sees all of it from here.
        self._table: _core.HookTable | None = None

    def before(
        self,
        *operations: str,
        name: str | None = None,
        scope: str | None = None,
        key: str | None = None,
        scope_kind: ScopeKind | None = None,
        state_class: StateClass | None = None,
        priority: int = 0,
        fail_closed: bool = True,
        budget_s: float = 0.05,
        breaker: BreakerOptions | None = None,
    ) -> Callable[[F], F]:
        """Register a function to run before operations: ``@state.hooks.before("set", scope="agent:*", key="plan/*")``.

        Args: as `register`. `operations` are ``"set"``, ``"delete"``, ``"clear"``, ``"batch"``; `fail_closed` False
            makes of it an `Observer`.
        """

        def decorate(function: F) -> F:
            self._add(
                name or _name_of(function),
                function,
                [f"before_{operation}" for operation in operations],
                _filter(scope, key, scope_kind, state_class),
                (priority, fail_closed, budget_s, breaker),
            )
            return function

        return decorate

    def register(
        self,
        hook: Validator | Observer,
        *,
        name: str | None = None,
        points: Iterable[HookPoint | str] | None = None,
        scope: str | None = None,
        key: str | None = None,
        scope_kind: ScopeKind | None = None,
        state_class: StateClass | None = None,
        priority: int | None = None,
        budget_s: float | None = None,
        breaker: BreakerOptions | None = None,
    ) -> str:
        """Register a hook that is an object; return its name. What is not given is as the object says.

        Args:
            name: 1 to 64 letters, digits, ``.``, ``_``, ``-``; one hook has it at a time.
            points: when it runs.
            scope, key: patterns; ``*`` is any text, ``?`` one character. A clear is about all keys.
            scope_kind, state_class: only these; a removal is of any class.
            priority: lower runs earlier; of equal ones the one that was registered first.
            budget_s: an execution beyond this counts as slow. It is measured only: nothing can interrupt Python code.
            breaker: when the hook is held back.
        Raises: InvalidKey (hook.name); Conflict (hook.exists); LimitExceeded (hook.count, hook.option); TypeError.
        """
        if not isinstance(hook, Validator | Observer):
            raise TypeError(f"a hook is a Validator, an Observer or, with before(), a function, not {hook!r}")
        chosen = name or hook.name or type(hook).__name__
        self._add(
            chosen,
            hook.decide,
            hook.points if points is None else points,
            _filter(
                hook.scope if scope is None else scope,
                hook.key if key is None else key,
                scope_kind or hook.scope_kind,
                state_class or hook.state_class,
            ),
            (
                hook.priority if priority is None else priority,
                hook.fail_closed,
                hook.budget_s if budget_s is None else budget_s,
                breaker,
            ),
        )
        return chosen

    def load_entry_points(self, group: str = "spellkeep.hooks") -> list[str]:
        """Register what installed packages offer; return the names.

        Each names a function that is called with this registry, or a class of hooks, made without arguments.
        """
        from importlib.metadata import entry_points

        before = set(self._hooks)
        for point in sorted(entry_points(group=group), key=lambda point: point.name):
            loaded: Any = point.load()
            if inspect.isclass(loaded):
                hook: Any = loaded()
                self.register(hook, name=point.name)
            else:
                loaded(self)
        return [name for name in self._hooks if name not in before]

    def _add(
        self,
        name: str,
        call: Callable[[Any], Any],
        points: Iterable[HookPoint | str],
        filter: _core.HookFilter,
        how: tuple[int, bool, float, BreakerOptions | None],
    ) -> None:
        state = self._opened()
        if len(name) > _NAME_MAX or _NAME.fullmatch(name) is None:
            raise InvalidKey(f"{name!r}: a hook's name is 1 to 64 of A-Z a-z 0-9 . _ -", code="hook.name")
        at = tuple(dict.fromkeys(map(HookPoint, points)))
        if not at:
            raise ValueError(f"hook {name!r} has no point: say when it runs")
        if inspect.iscoroutinefunction(call):
            raise TypeError(f"hook {name!r} runs before the operation, in its caller: it cannot be async")
        priority, fail_closed, budget_s, breaker = how
        if not 0 < budget_s <= 3600:
            raise LimitExceeded("budget_s is above 0 and at most an hour", code="hook.option")
        hook = Registered(
            name,
            call,
            at,
            filter=filter,
            priority=priority,
            fail_closed=fail_closed,
            budget_s=budget_s,
            breaker=breaker,
            told=None,
        )
        hook.enabled = not state.exists(HOOKS, _DISABLED + name)
        with self._lock:
            if name in self._hooks:
                raise Conflict(f"there is a hook {name!r}: unregister it, or give name=", code="hook.exists")
            if len(self._hooks) >= HOOKS_MAX:
                raise LimitExceeded(f"a store takes {HOOKS_MAX} hooks", code="hook.count")
            self._hooks[name] = hook
            self._install(state)

    def _install(self, state: StateManager) -> None:
        """Under the lock: from now on the operations run these."""
        ordered = sorted((hook for hook in self._hooks.values() if hook.enabled), key=lambda hook: hook.priority)
        points = [[hook for hook in ordered if point in hook.points] for point in BEFORE]
        table = _core.HookTable(state, points)
        state._use_hooks(table)
        self._table = table

    def _opened(self) -> StateManager:
        state = self._state()
        if state is None:
            raise ReferenceError("the store of these hooks is gone")
        state._check_open()
        return state

    def _named(self, name: str) -> Registered:
        hook = self._hooks.get(name)
        if hook is None:
            raise KeyMissing(f"there is no hook {name!r}", code="hook.missing")
        return hook

    def unregister(self, name: str) -> None:
        """Forget a hook. Afterwards it does not run, but where it is running already.

        Raises: KeyMissing (hook.missing).
        """
        state = self._opened()
        with self._lock:
            self._named(name)
            del self._hooks[name]
            self._install(state)

    def enable(self, name: str) -> None:
        """Let a hook run again, in this process and the next ones. Raises: KeyMissing (hook.missing)."""
        self._switch(name, True)

    def disable(self, name: str) -> None:
        """Keep a hook from running, in this process and the next ones, until `enable`. Raises: as `enable`."""
        self._switch(name, False)

    def _switch(self, name: str, enabled: bool) -> None:
        state = self._opened()
        self._named(name)
        # First the store: a switch that is not there after a crash was never turned.
        if enabled:
            state.delete(HOOKS, _DISABLED + name)
        else:
            state.set(HOOKS, _DISABLED + name, True)
        with self._lock:
            self._named(name).enabled = enabled
            self._install(state)

    def ls(self) -> list[HookInfo]:
        """The hooks, in the order in which they run."""
        with self._lock:
            hooks = sorted(self._hooks.values(), key=lambda hook: hook.priority)
        return [hook.info for hook in hooks]

    def stats(self) -> list[HookStats]:
        """Figures of each hook in this process, as `ls` orders them."""
        with self._lock:
            hooks = sorted(self._hooks.values(), key=lambda hook: hook.priority)
        return [hook.stats() for hook in hooks]

    def __len__(self) -> int:
        return len(self._hooks)

    def __contains__(self, name: object) -> bool:
        return name in self._hooks

    def __repr__(self) -> str:
        return f"<HookRegistry of {len(self)} {'hook' if len(self) == 1 else 'hooks'}>"

    def __reduce__(self) -> Any:
        raise TypeError("the hooks of an open store cannot be pickled")


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    if not _NAME.fullmatch(name):
        raise InvalidKey("give the hook a name: name=", code="hook.name")
    return name


def _filter(
    scope: str | None, key: str | None, scope_kind: ScopeKind | None, state_class: StateClass | None
) -> _core.HookFilter:
    if scope_kind is not None and scope_kind not in _KINDS:
        raise ValueError(f"scope_kind is one of {', '.join(_KINDS)}, not {scope_kind!r}")
    kinds = None if scope_kind is None else 1 << (_KINDS.index(scope_kind) + 1)
    classes = None if state_class is None else 1 << state_class.value
    return _core.HookFilter(kinds=kinds, classes=classes, scope=scope, key=key)
