"""``state.replay``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from spellkeep._async import in_thread
from spellkeep.errors import KeyMissing, StateError
from spellkeep.hooks import Execution
from spellkeep.replay import isolated
from spellkeep.replay.comparing import ignored
from spellkeep.replay.given import Parameters
from spellkeep.replay.inputs import Input, Inputs, NoInput
from spellkeep.replay.job import Progress, ReplayJob
from spellkeep.replay.judging import judge
from spellkeep.replay.reading import Reader
from spellkeep.replay.report import ReplayItem, ReplayReport
from spellkeep.replay.running import REGISTERED, Callee, check_hook, run
from spellkeep.replay.schedules import Mode, ReplaySchedules, check_mode
from spellkeep.replay.selecting import Selection, select
from spellkeep.scope import StateScope
from spellkeep.value import encode

if TYPE_CHECKING:
    from spellkeep.store import StateManager


class ReplayManager(ReplaySchedules):
    """What hooks did, to be found, and done again where it touches nothing: ``state.replay``.

    A replayed hook is given what was recorded. Its ``context.state`` is a sandbox that holds a reader and no way to the
    store, and while it runs every store of the process refuses what it asks to be written (ReadOnly,
    replay.read_only), also through handles that it has from elsewhere. Only a thread that it starts by itself is
    outside of that; in another process (``isolate=True``) there is no store to be reached at all.

    `verify`, `substitute` and `what_if` run code: AccessDenied (access.denied) unless the store was opened with
    ``allow_replay=True``. `select` and `simulate` only read.
    """

    def __init__(self, state: StateManager) -> None:
        self._state = state

    def select(
        self,
        *,
        ids: Iterable[str] | None = None,
        hook: str | None = None,
        correlation: str | None = None,
        scope: StateScope | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        result: str | None = None,
        limit: int = 1000,
    ) -> list[Execution]:
        """Recorded executions, the oldest first; of more than `limit` the newest.

        Args:
            ids: only these: ``Execution.id``.
            hook: only of the hook of this name.
            correlation, scope: only where the log, or what was written down, says so.
            since, until: written from then on, and before; without a zone it is local time.
            result: only with this one: ``proceeded``, ``modified``, ``cancelled``, ``retry``, ``skipped``, ``failed``.
        Raises: TypeError, ValueError for what is no such thing; LimitExceeded (replay.option).
        Cost: reads the history of the hook, and for `correlation` and `scope` the log from the oldest execution on.
        """
        asked = Selection(
            ids=ids,
            hook=hook,
            correlation=correlation,
            scope=scope,
            since=since,
            until=until,
            result=result,
            limit=limit,
        )
        return select(self._state, asked)

    def verify(
        self,
        executions: Iterable[Execution],
        *,
        hook: Any = None,
        isolate: bool = False,
        ignore: Iterable[str] = (),
        concurrency: int = 1,
        progress: Progress | None = None,
    ) -> ReplayReport:
        """Run the hooks again on what they were given, and compare what comes out with what was recorded.

        Args:
            executions: from `select`.
            hook: what to run, or a dict from names to that; None: what is registered under the names of the
                executions. With `isolate` a text, ``"module:attribute"``.
            isolate: run everything twice, in two other processes with other hash seeds, environment and clock, and
                find out what answers that differ depend on.
            ignore: places of an answer that do not count, such as ``"value.at"``; ``*`` is any one name.
            concurrency: how many at a time.
            progress: told after each.
        Raises: TypeError, ValueError (what `hook` is); LimitExceeded (replay.option); StateError (replay.hook) when the
            other process cannot import it.
        """
        how = {"hook": hook, "isolate": isolate, "ignore": ignore, "concurrency": concurrency, "progress": progress}
        return self.start("verify", executions, **how).wait()

    def substitute(
        self, executions: Iterable[Execution], *, hooks: Mapping[str, Any] | Iterable[str], **how: Any
    ) -> ReplayReport:
        """As `verify`, but only `hooks` run, by name; of all others what was recorded stands.

        Args:
            hooks: names, or names with what is to run in their place.
        Raises: KeyMissing (hook.missing) for a name that none of the executions and no registered hook has.
        """
        return self.start("substitute", executions, hooks=hooks, **how).wait()

    def what_if(
        self, executions: Iterable[Execution], parameters: Parameters, *, hook: Any = None, **how: Any
    ) -> ReplayReport:
        """As `verify`, but with other parts of what was given: ``{"value.amount": 5}``; and the hook may write.

        What it writes is in ``answer.writes``. It alone sees that, on top of the store as it was.

        Raises: NotSerializable, LimitExceeded (value.*) for what no hook could have been given. Where there is nothing
            to change the item says so (replay.path).
        """
        return self.start("what_if", executions, parameters=parameters, hook=hook, **how).wait()

    def simulate(self, executions: Iterable[Execution], *, hook: Any = None) -> ReplayReport:
        """Run nothing, and say what would run."""
        return self.start("simulate", executions, hook=hook).wait()

    def start(
        self,
        mode: Mode,
        executions: Iterable[Execution],
        *,
        hook: Any = None,
        hooks: Mapping[str, Any] | Iterable[str] | None = None,
        parameters: Parameters | None = None,
        isolate: bool = False,
        ignore: Iterable[str] = (),
        concurrency: int = 1,
        progress: Progress | None = None,
    ) -> ReplayJob:
        """Begin a replay in the background. Args and errors as of the mode's method."""
        check_mode(mode)
        if mode != "simulate":
            self._check_allowed(mode)
        if hooks is not None and not isinstance(hooks, str | Mapping):
            hooks = tuple(hooks)
        chosen, named = _chosen(executions), _named(mode, hook, hooks)
        if isolate and mode not in ("verify", "simulate"):
            raise ValueError("isolate=True is for verify")
        if mode != "substitute" and hooks is not None:
            raise TypeError("hooks= goes with substitute")
        if mode == "what_if":
            _check_parameters(parameters or {})
        elif parameters is not None:
            raise TypeError("parameters= goes with what_if")
        places = ignored(ignore)
        self._check_names(chosen, hooks)
        inputs = Inputs(self._state, chosen)
        items, ready = list[ReplayItem](), list[tuple[int, Execution, Input, Any]]()
        for index, execution in enumerate(chosen):
            item, input = self._prepared(mode, execution, inputs, named)
            items.append(item)
            if input is not None:
                ready.append((index, execution, input, named(execution.hook)))
        job = ReplayJob(mode, items, progress)
        if isolate:
            work = isolated.works(self._state, job, ready, places)
        else:
            work = [self._work(job, mode, each, parameters or {}, places) for each in ready]
        job.start(work, concurrency)
        return job

    def _check_names(self, chosen: list[Execution], hooks: Mapping[str, Any] | Iterable[str] | None) -> None:
        """A name that nothing has would let everything stand as it was recorded, and look like a success."""
        known = {each.hook for each in chosen}
        for name in hooks or ():
            if chosen and name not in known and name not in self._state.hooks:
                raise KeyMissing(f"none of the executions is of a hook {name!r}", code="hook.missing")

    def _prepared(
        self, mode: Mode, execution: Execution, inputs: Inputs, named: Callable[[str], Any]
    ) -> tuple[ReplayItem, Input | None]:
        """The item of an execution while it did not run, and its input if it is to run."""
        what = named(execution.hook)
        if mode == "substitute" and what is None:
            return ReplayItem(execution=execution, status="recorded"), None
        registered = self._state.hooks._hooks.get(execution.hook)
        if what is REGISTERED and registered is None:
            return ReplayItem(execution=execution, status="no hook", detail="nothing of that name is registered"), None
        try:
            input = inputs.of(execution)
        except NoInput as none:
            return ReplayItem(execution=execution, status=none.status, detail=str(none)), None
        if mode == "simulate":
            if what is not REGISTERED and not isinstance(what, str):
                check_hook(what)
            if what is REGISTERED and registered is not None and not registered.enabled:
                return ReplayItem(execution=execution, status="disabled", detail="it is switched off"), None
            where = "" if input.scope is None else f" {input.scope} {input.key or ''}".rstrip()
            detail = f"on {input.operation}{where}, as of version {input.as_of}"
            return ReplayItem(execution=execution, status="would run", detail=detail), None
        return ReplayItem(execution=execution, status="cancelled"), input

    def _work(
        self,
        job: ReplayJob,
        mode: Mode,
        each: tuple[int, Execution, Input, Any],
        parameters: Parameters,
        ignore: tuple[str, ...],
    ) -> Callable[[], None]:
        index, execution, input, what = each
        if what is REGISTERED:
            registered = self._state.hooks._hooks[execution.hook]
            callee = Callee(call=registered.call, may=registered.fail_closed)
        else:
            callee = Callee.of(what)

        def work() -> None:
            reader = Reader(self._state, input.as_of, input.moment)
            try:
                answer = run(callee, input, reader, writable=mode == "what_if", parameters=parameters)
                item = judge(self._state, execution, answer, ignore)
            except StateError as error:
                item = ReplayItem(execution=execution, status="error", detail=f"{error.code}: {error}")
            job.put(index, item)

        return work

    async def averify(self, executions: Iterable[Execution], **how: Any) -> ReplayReport:
        """As `verify`, in a thread."""
        return await in_thread(lambda: self.verify(executions, **how))

    def __repr__(self) -> str:
        return f"<ReplayManager of {self._state!r}>"


def _named(
    mode: Mode, hook: Any, hooks: Mapping[str, Any] | Sequence[str] | Iterable[str] | None
) -> Callable[[str], Any]:
    """What is to run under a name: `REGISTERED`, something that was given, or None: nothing."""
    if mode != "substitute":
        if isinstance(hook, Mapping):
            return lambda name: hook.get(name, REGISTERED)
        return lambda name: REGISTERED if hook is None else hook
    if hooks is None or isinstance(hooks, str):
        raise TypeError("substitute takes hooks=, the names of those that are to run")
    if hook is not None:
        raise TypeError("substitute takes hooks=, a dict from names to what is to run, in place of hook=")
    chosen = dict(hooks) if isinstance(hooks, Mapping) else dict.fromkeys(hooks, REGISTERED)
    return chosen.get


def _chosen(executions: Iterable[Execution]) -> list[Execution]:
    # One execution is a tuple, too.
    found: list[Execution] = [executions] if isinstance(executions, Execution) else list(executions)
    for each in found:
        if not isinstance(each, Execution):
            raise TypeError(f"executions= takes what select gives, not {each!r}")
    return found


def _check_parameters(parameters: Parameters) -> None:
    """What could not be kept could not have been given. Raises: NotSerializable, LimitExceeded (value.*)."""
    for value in parameters.values():
        if not isinstance(value, StateScope):
            encode(value)
