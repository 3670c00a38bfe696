"""``state.hooks``: the hooks of a store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from spellkeep import _core
from spellkeep._hooks import positions_of
from spellkeep.breaker import BreakerOptions
from spellkeep.changes import StateClass
from spellkeep.correlation import current_correlation
from spellkeep.errors import Conflict, KeyMissing, LimitExceeded
from spellkeep.hooks.accounts import HookAccounts
from spellkeep.hooks.asked import check_name, filter_of, name_of, running_loop, when_of
from spellkeep.hooks.base import Keeper, Observer, Validator
from spellkeep.hooks.consumer import Consumer
from spellkeep.hooks.delivery import Delivery
from spellkeep.hooks.log import DISABLED, HOOKS, HookLog, begin_at, forget, kept
from spellkeep.hooks.registered import How, Registered
from spellkeep.hooks.result import BEFORE, HookPoint
from spellkeep.hooks.telling import write_now
from spellkeep.scope import ScopeKind, StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

F = TypeVar("F", bound=Callable[..., Any])

HOOKS_MAX = 1_000
"""Most hooks of a store."""


class HookRegistry(HookAccounts):
    """The hooks of one store: registering, listing, switching off and on, figures. For any number of threads."""

    def __init__(self, state: StateManager) -> None:
        super().__init__(state)
        # The compiled core has it by a weak reference only, so that the collector sees all of it from here.
        self._table: _core.HookTable | None = None
        # The operations that something runs before, and after.
        self._asked = self._told_of = frozenset[str]()

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
        history: bool = True,
    ) -> Callable[[F], F]:
        """Register a function to run before operations: ``@state.hooks.before("set", scope="agent:*", key="plan/*")``.

        Args: as `register`. `operations` are ``"set"``, ``"delete"``, ``"clear"``, ``"batch"``, ``"agent_save"``,
            ``"agent_load"``, ``"session_start"``, ``"session_end"``; `fail_closed` False makes of it an `Observer`.
        """
        how = How(priority=priority, fail_closed=fail_closed, budget_s=budget_s, breaker=breaker, history=history)
        points = [f"before_{operation}" for operation in operations]
        return self._decorator(name, points, filter_of(scope, key, scope_kind, state_class), how)

    def after(
        self,
        *operations: str,
        name: str | None = None,
        scope: str | None = None,
        key: str | None = None,
        scope_kind: ScopeKind | None = None,
        state_class: StateClass | None = None,
        priority: int = 0,
        budget_s: float = 1.0,
        breaker: BreakerOptions | None = None,
        history: bool = True,
        batch: bool = False,
        attempts_max: int = 5,
        since: int | None = None,
    ) -> Callable[[F], F]:
        """Register a function that is given each committed `Change`, in order and at least once, in the background.

        It may be ``async def``, on the event loop that is running now. How far it came is kept in the store: a hook of
        the same name goes on there in the next process.

        Args: as `register`. `operations` are ``"set"``, ``"delete"``, ``"clear"``, ``"expire"``.
        """
        how = How(
            priority=priority,
            fail_closed=False,
            budget_s=budget_s,
            breaker=breaker,
            history=history,
            batch=batch,
            attempts_max=attempts_max,
            since=since,
        )
        points = [f"after_{operation}" for operation in operations]
        return self._decorator(name, points, filter_of(scope, key, scope_kind, state_class), how)

    def _decorator(self, name: str | None, points: list[str], filter: _core.HookFilter, how: How) -> Callable[[F], F]:
        def decorate(function: F) -> F:
            self._add(name or name_of(function), function, points, filter, how)
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
        history: bool = True,
        batch: bool = False,
        attempts_max: int = 5,
        since: int | None = None,
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
            history: whether its executions are kept. See `history`.
            batch: after operations, give it lists of changes.
            attempts_max: after operations, give a change up after so many failures.
            since: after operations, the version to begin behind when the store does not know the hook; None: now.
        Raises: InvalidKey (hook.name); Conflict (hook.exists); LimitExceeded (hook.count, hook.option); TypeError.
        """
        if not isinstance(hook, Validator | Observer):
            raise TypeError(f"a hook is a Validator, an Observer or, with before(), a function, not {hook!r}")
        chosen = name or hook.name or type(hook).__name__
        self._add(
            chosen,
            hook.decide,
            hook.points if points is None else points,
            filter_of(
                hook.scope if scope is None else scope,
                hook.key if key is None else key,
                scope_kind or hook.scope_kind,
                state_class or hook.state_class,
            ),
            How(
                priority=hook.priority if priority is None else priority,
                fail_closed=hook.fail_closed,
                budget_s=hook.budget_s if budget_s is None else budget_s,
                breaker=breaker,
                history=history,
                batch=batch,
                attempts_max=attempts_max,
                since=since,
            ),
            hook if isinstance(hook, Keeper) else None,
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
        how: How,
        keeper: Keeper | None = None,
    ) -> None:
        state = self._opened()
        check_name(name)
        at = tuple(dict.fromkeys(map(HookPoint, points)))
        if not at:
            raise ValueError(f"hook {name!r} has no point: say when it runs")
        after = not all(point.is_before for point in at)
        if HookPoint.AFTER_BATCH in at and (how.batch or sum(not point.is_before for point in at) > 1):
            # What it was given is known by one version, and the last of a batch has both.
            raise ValueError(f"hook {name!r}: after batches it is given each as a list; let another be for the rest")
        loop = None
        if inspect.iscoroutinefunction(call):
            if any(point.is_before for point in at):
                raise TypeError(f"hook {name!r} runs before the operation, in its caller: it cannot be async")
            loop = running_loop(name)
        hook = Registered(name, call, at, filter=filter, how=how, told=self._told)
        hook.switch(not state.exists(HOOKS, DISABLED + name))
        with self._lock:
            if name in self._hooks:
                raise Conflict(f"there is a hook {name!r}: unregister it, or give name=", code="hook.exists")
            if len(self._hooks) >= HOOKS_MAX:
                raise LimitExceeded(f"a store takes {HOOKS_MAX} hooks", code="hook.count")
            delivery = None
            if after:
                state._check_writable()
                delivery = Delivery(
                    hook,
                    begin_at(state, name, how.since),
                    batch=how.batch,
                    attempts_max=how.attempts_max,
                    loop=loop,
                    keeper=keeper,
                )
                if keeper is not None:
                    keeper.restore(state, name)
            if not state.read_only and (after or how.history):
                if self._consumer is None:
                    self._consumer = Consumer(state)
                self._consumer.add(hook, delivery, HookLog(state, name, when_of(at, how.batch)))
                self._consumer.hold(state)
            self._hooks[name] = hook
            self._install(state)

    def _told(
        self,
        hook: Registered,
        context: Any,
        outcome: int,
        ns: int,
        error: BaseException | None,
        answered: int | None,
    ) -> None:
        state, consumer = self._state(), self._consumer
        log = None if consumer is None else consumer.log(hook.name)
        if state is not None and log is not None:
            recorded = context._recorded
            row = (0, -(-ns // 1000), outcome, context.digest, *([recorded] if recorded else ()))
            write_now(state, log, row, context, error, answered)

    def _install(self, state: StateManager) -> None:
        """Under the lock: from now on the operations run these."""
        ordered = sorted((hook for hook in self._hooks.values() if hook.enabled), key=lambda hook: hook.priority)
        points = [[hook for hook in ordered if point in hook.points] for point in BEFORE]
        table = _core.HookTable(state, points)
        state._use_hooks(table)
        self._table = table
        enabled = {point for hook in ordered for point in hook.points}
        self._asked = frozenset(point.operation for point in enabled if point.is_before)
        self._told_of = frozenset(point.operation for point in enabled if not point.is_before)

    def _ask(self, operation: str, scope: StateScope, value: Any, version: int) -> _core.HookAsked | None:
        """See `spellkeep._hooks.ask`."""
        state, table = self._opened(), self._table
        current = current_correlation()
        # What is replayed cannot write, and asks nobody.
        if table is None or (current is not None and current.read_only):
            return None
        return _core.hook_ask(state, table, operation, scope, value, version)

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
            self._named(name).switch(False)
            del self._hooks[name]
            self._install(state)
            if self._consumer is not None:
                self._consumer.remove(name)

    def forget(self, name: str) -> int:
        """Remove what the store keeps of a hook that is not registered: how far it came, its history, its switch.

        Until then the log keeps what it has not read.

        Returns: how many executions the history had.
        Raises: Conflict (hook.exists) when it is registered; KeyMissing (hook.missing) when nothing is kept.
        """
        state = self._opened()
        if name in self._hooks:
            raise Conflict(f"hook {name!r} is registered: unregister it first", code="hook.exists")
        if (count := forget(state, name)) is None:
            raise KeyMissing(f"there is no hook {name!r}", code="hook.missing")
        if self._consumer is None:
            state._hold_log(min(positions_of(state).values(), default=None))
        else:
            self._consumer.forget(name)
            self._consumer.hold(state)
        return count

    def enable(self, name: str) -> None:
        """Let a hook run again, in this process and the next ones. Raises: KeyMissing (hook.missing)."""
        self._switch(name, True)

    def disable(self, name: str) -> None:
        """Keep a hook from running, in this process and the next ones, until `enable`. Raises: as `enable`."""
        self._switch(name, False)

    def _switch(self, name: str, enabled: bool) -> None:
        state = self._opened()
        if name not in self._hooks and name not in dict(kept(state)):
            raise KeyMissing(f"there is no hook {name!r}", code="hook.missing")
        # First the store: a switch that is not there after a crash was never turned.
        if enabled:
            state.delete(HOOKS, DISABLED + name)
        else:
            state.set(HOOKS, DISABLED + name, True)
        with self._lock:
            if (hook := self._hooks.get(name)) is not None:
                hook.switch(enabled)
                self._install(state)

    def _end(self) -> None:
        """Before the store is closed."""
        state = self._state()
        if self._consumer is not None and state is not None and not state.forked and not state.closed:
            self._consumer.end(state.last_version)

    def __len__(self) -> int:
        return len(self._hooks)

    def __contains__(self, name: object) -> bool:
        return name in self._hooks

    def __repr__(self) -> str:
        return f"<HookRegistry of {len(self)} {'hook' if len(self) == 1 else 'hooks'}>"

    def __reduce__(self) -> Any:
        raise TypeError("the hooks of an open store cannot be pickled")
