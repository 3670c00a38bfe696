"""The calls of ``state.replay`` about schedules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from spellkeep.errors import AccessDenied, LimitExceeded
from spellkeep.replay.comparing import ignored
from spellkeep.replay.given import Parameters
from spellkeep.replay.schedule import Schedule, ScheduledRun, check_name, stored_runs
from spellkeep.replay.scheduler import Scheduler
from spellkeep.replay.selecting import Selection
from spellkeep.replay.when import When
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

Mode: TypeAlias = Literal["verify", "substitute", "what_if", "simulate"]

_TIMEOUT_MAX_S = 7 * 86_400


def check_mode(mode: str) -> None:
    """Raises: ValueError."""
    if mode not in get_args(Mode):
        raise ValueError(f"mode= is one of {', '.join(get_args(Mode))}, not {mode!r}")


class ReplaySchedules:
    """The part of `ReplayManager` that does it later."""

    _state: StateManager

    def _check_allowed(self, what: str) -> None:
        if not self._state._allow_replay:
            detail = f"{what} runs hooks again: open the store with allow_replay=True to permit that"
            raise AccessDenied(detail, code="access.denied")

    def _scheduler(self) -> Scheduler:
        self._state._check_open()
        found: Scheduler = self._state.__dict__.setdefault("_scheduler", Scheduler(self._state))
        return found

    def schedule(
        self,
        name: str,
        *,
        at: datetime | None = None,
        after_s: float | None = None,
        every_s: float | None = None,
        cron: str | None = None,
        zone: str = "UTC",
        mode: Mode = "verify",
        hooks: Iterable[str] | None = None,
        parameters: Parameters | None = None,
        ignore: Iterable[str] = (),
        timeout_s: float = 3600.0,
        ids: Iterable[str] | None = None,
        hook: str | None = None,
        correlation: str | None = None,
        scope: StateScope | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        result: str | None = None,
        limit: int = 1000,
    ) -> Schedule:
        """Replay what is selected then, once or again and again, also after the store was closed and opened.

        It runs the hooks that are registered, in a store that was opened with ``allow_replay=True``; until the hooks
        that it needs are registered it waits. Times that went by meanwhile are one run. Two runs of one schedule never
        overlap. A schedule of the same name is replaced; one that is asked for as it is goes on as it is.

        Args:
            name: 1 to 64 letters, digits, ``.``, ``_``, ``-``.
            at: once, at this time; without a zone it is local time.
            after_s: once, so many seconds from now.
            every_s: so many seconds from now, and again every so many; at least 1.
            cron: minute, hour, day of the month, month, day of the week.
            zone: of `cron`.
            mode: as of `start`, with `hooks` and `parameters` for those that take them.
            ignore: as of `verify`.
            timeout_s: a run that takes longer is cancelled.
            ids, hook, correlation, scope, since, until, result, limit: as of `select`.
        Raises: InvalidKey (replay.name); LimitExceeded (replay.option, replay.count); TypeError, ValueError; ReadOnly.
        """
        check_name(name)
        check_mode(mode)
        if hooks is not None:
            hooks = () if isinstance(hooks, str) else tuple(hooks)
            if not hooks or not all(isinstance(each, str) for each in hooks):
                raise TypeError("hooks= is several str, such as a tuple, and at least one")
        if (hooks is not None) != (mode == "substitute"):
            raise TypeError("hooks= goes with mode='substitute', and that with hooks=")
        if parameters is not None and (mode != "what_if" or not isinstance(parameters, Mapping)):
            raise TypeError("parameters= is a dict, and goes with mode='what_if'")
        if not 0 < timeout_s <= _TIMEOUT_MAX_S:
            raise LimitExceeded("timeout_s is above 0 and at most a week", code="replay.option")
        selection = Selection(
            ids=ids,
            hook=hook,
            correlation=correlation,
            scope=scope,
            since=since,
            until=until,
            result=result,
            limit=limit,
        )
        made = Schedule(
            name=name,
            mode=mode,
            selection=selection,
            when=When(at=at, after_s=after_s, every_s=every_s, cron=cron, zone=zone),
            hooks=hooks,
            parameters=tuple((parameters or {}).items()),
            ignore=ignored(ignore),
            timeout_s=float(timeout_s),
        )
        return self._scheduler().add(self._state, made)

    def schedules(self) -> list[Schedule]:
        """The schedules of the store, by name."""
        return self._scheduler().listed(self._state)

    def cancel(self, name: str) -> None:
        """Remove a schedule and its results. What runs of it is cancelled.

        Raises: KeyMissing (replay.missing); ReadOnly.
        """
        self._scheduler().cancel(self._state, name)

    def runs(self, name: str, *, limit: int = 20) -> list[ScheduledRun]:
        """What came of the last runs of a schedule, newest first; of each schedule 20 are kept."""
        self._state._check_open()
        return stored_runs(self._state, name, limit)

    def run_due(self, hook: Any = None, *, isolate: bool = False) -> list[ScheduledRun]:
        """Run what is due, now and here, and return what came of it. What waits for a hook is left due.

        Args:
            hook: what to run, or a dict from names to that; None: what is registered.
            isolate: `hook` are texts, ``"module:attribute"``; ``verify`` runs them as with ``isolate=True``, other
                modes import them here.
        Raises: AccessDenied (access.denied); ReadOnly. What a run raises is in its result.
        """
        self._check_allowed("run_due")
        self._state._check_writable()
        return self._scheduler().run_due(self._state, hook, isolate=isolate)
