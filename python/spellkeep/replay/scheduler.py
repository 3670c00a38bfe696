"""Runs what is due: in a thread while there is something to come, or when it is asked to."""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from spellkeep.batch import Batch
from spellkeep.errors import Busy, Closed, Forked, KeyMissing, LimitExceeded, StateError
from spellkeep.hooks import Execution
from spellkeep.redaction import Redactor
from spellkeep.replay.job import ReplayJob
from spellkeep.replay.report import ReplayReport
from spellkeep.replay.running import REGISTERED
from spellkeep.replay.schedule import (
    REPLAYS,
    RUNS,
    SCHEDULES,
    SCHEDULES_MAX,
    RunResult,
    Schedule,
    ScheduledRun,
    put_run,
    stored_schedule,
    stored_schedules,
)
from spellkeep.replay.selecting import select
from spellkeep.replay.worker import find

if TYPE_CHECKING:
    from spellkeep.store import StateManager

_redactor = Redactor()
# A clock may be set, and a machine may sleep: it is looked at again after so long.
_LOOK_S = 10.0
# While a run waits for a hook that is not registered, and after a disk that refused.
_WAIT_S = 0.2
_CLOSE_S = 5.0
# When one whose next time cannot be told is tried again.
_AGAIN = timedelta(hours=1)
_DIVERGENCE_MAX = 4000


class _Run:
    """A run that is going on in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: ReplayJob | None = None
        self.cancelled = False

    def take(self, job: ReplayJob) -> None:
        with self._lock:
            self._job = job
            cancelled = self.cancelled
        if cancelled:
            job.cancel()

    def cancel(self) -> None:
        with self._lock:
            self.cancelled = True
            job = self._job
        if job is not None:
            job.cancel()


class Scheduler:
    """The schedules of one store. For any number of threads.

    Args:
        now: the clock; tests bring their own.
    """

    def __init__(self, state: StateManager, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        # Not the store itself: it may be collected although nobody closed it.
        self._state = weakref.ref(state)
        self._now = now
        self._lock = threading.RLock()
        self._moved = threading.Condition(self._lock)
        self._wakened = threading.Event()
        self._thread: threading.Thread | None = None
        self._running: dict[str, _Run] = {}
        self._waits: dict[str, tuple[str, ...]] = {}
        self._ending = False

    # What is asked.

    def add(self, state: StateManager, wanted: Schedule) -> Schedule:
        """Keep a schedule. One that is there and was asked to be the same goes on as it is."""
        with self._lock:
            known = stored_schedule(state, wanted.name)
            if known is not None and known.is_asked_as(wanted):
                return known
            if known is None and len(state.list_keys(REPLAYS, SCHEDULES)) >= SCHEDULES_MAX:
                raise LimitExceeded(f"a store takes {SCHEDULES_MAX} schedules", code="replay.count")
            next_at = wanted.when.first(self._now())
            if known is None:
                made = replace(wanted, id=uuid.uuid4().hex, next_at=next_at)
            else:
                same = {name: getattr(known, name) for name in ("id", "running_since", "running_due", "run_count")}
                made = replace(wanted, next_at=next_at, **same)
            with Batch(state) as batch:
                made.put(batch)
            self._waits.pop(wanted.name, None)
        self.begin()
        return made

    def cancel(self, state: StateManager, name: str) -> None:
        """Remove a schedule and its results, and end what runs of it. Raises: KeyMissing (replay.missing)."""
        with self._lock:
            if stored_schedule(state, name) is None:
                raise KeyMissing(f"there is no schedule {name!r}", code="replay.missing")
            with Batch(state) as batch:
                for key in (SCHEDULES + name, *state.list_keys(REPLAYS, f"{RUNS}{name}/")):
                    batch.delete(REPLAYS, key)
            self._waits.pop(name, None)
            run = self._running.get(name)
        if run is not None:
            run.cancel()

    def listed(self, state: StateManager) -> list[Schedule]:
        """The schedules, by name."""
        return [replace(each, waits_for=self._waits.get(each.name, ())) for each in stored_schedules(state)]

    # Running.

    def run_due(self, state: StateManager, hook: Any = None, *, isolate: bool = False) -> list[ScheduledRun]:
        """Run what is due, one after the other. See `ReplayManager.run_due`."""
        self._settle(state)
        done = []
        for each in sorted(filter(self._is_due, stored_schedules(state)), key=lambda each: (each.next_at, each.name)):
            if not self._ending and (run := self._run(state, each, hook, isolate)) is not None:
                done.append(run)
        return done

    def _is_due(self, schedule: Schedule) -> bool:
        return schedule.next_at is not None and schedule.next_at <= self._now()

    def _settle(self, state: StateManager) -> None:
        """Tell of runs in whose middle a process ended. They are not run again: it may have been their fault."""
        with self._lock:
            for each in stored_schedules(state):
                if each.running_due is not None and each.name not in self._running:
                    self._put(state, each, self._told(each, "interrupted"))

    def _told(self, schedule: Schedule, result: RunResult, **more: Any) -> ScheduledRun:
        assert schedule.running_due is not None and schedule.running_since is not None
        due, missed = schedule.running_due
        head = {"schedule": schedule.name, "number": schedule.run_count, "due_at": due}
        head |= {"began_at": schedule.running_since, "missed_count": missed, "counts": {}}
        return ScheduledRun(**{**head, "result": result, **more})

    def _put(self, state: StateManager, schedule: Schedule, run: ScheduledRun) -> None:
        """Under the lock: it is over, and what came of it is stored, unless the schedule is gone."""
        now = stored_schedule(state, schedule.name)
        if now is None or now.id != schedule.id:
            return
        with Batch(state) as batch:
            put_run(state, batch, run)
            replace(now, running_since=None, running_due=None, run_count=run.number + 1).put(batch)

    def _run(self, state: StateManager, asked: Schedule, hook: Any, isolate: bool) -> ScheduledRun | None:
        """Run it once; None: somebody else does, or it waits for a hook."""
        found = list[Execution]()
        error: StateError | None = None
        try:
            found = select(state, asked.selection)
            if self._must_wait(state, asked, found, hook):
                return None
        except (Closed, Forked):
            raise
        except StateError as failure:
            error = failure
        run = _Run()
        with self._lock:
            schedule = stored_schedule(state, asked.name)
            # Meanwhile another thread may have run it, or it is another.
            if schedule is None or not schedule.is_asked_as(asked) or asked.name in self._running or self._ending:
                return None
            now, due = self._now(), schedule.next_at
            if due is None or due > now:
                return None
            try:
                next_at, missed = schedule.when.following(due, now)
            except StateError as failure:
                # Its time zone is not known here: the others go on, and it can be looked at and removed.
                error, next_at, missed = failure, now + _AGAIN, 0
            schedule = replace(schedule, next_at=next_at, running_since=now, running_due=(due, missed))
            # First that it runs: what takes the process with it is not to do so at each start.
            with Batch(state) as batch:
                schedule.put(batch)
            self._running[asked.name] = run
        begun = time.perf_counter_ns()
        told: dict[str, Any] = {"result": "cancelled"}
        try:
            told = _failed(error) if error is not None else self._replayed(state, schedule, found, run, hook, isolate)
        finally:
            done = self._told(schedule, **told, took_ms=(time.perf_counter_ns() - begun) // 1_000_000)
            with self._lock:
                try:
                    self._put(state, schedule, done)
                finally:
                    del self._running[asked.name]
                    self._moved.notify_all()
        return done

    def _must_wait(self, state: StateManager, schedule: Schedule, found: list[Execution], hook: Any) -> bool:
        """Whether a hook is missing that may still be registered."""
        names = dict.fromkeys(each.hook for each in found)
        if schedule.hooks is not None:
            names = {name: None for name in names if name in schedule.hooks}
        given = hook if isinstance(hook, Mapping) else {} if hook is None else names
        missing = tuple(name for name in names if name not in given and name not in state.hooks)
        self._waits[schedule.name] = missing
        return bool(missing)

    def _replayed(
        self, state: StateManager, schedule: Schedule, found: list[Execution], run: _Run, hook: Any, isolate: bool
    ) -> dict[str, Any]:
        how: dict[str, Any] = {"ignore": schedule.ignore, "isolate": isolate and schedule.mode == "verify"}
        job: ReplayJob | None = None
        try:
            if isolate and schedule.mode in ("substitute", "what_if"):
                hook = {name: find(each) for name, each in hook.items()} if isinstance(hook, Mapping) else find(hook)
            if schedule.mode == "substitute":
                given = hook if isinstance(hook, Mapping) else {}
                default = REGISTERED if hook is None or given else hook
                how["hooks"] = {name: given.get(name, default) for name in schedule.hooks or ()}
            else:
                how["hook"] = hook
            if schedule.mode == "what_if":
                how["parameters"] = dict(schedule.parameters)
            job = state.replay.start(schedule.mode, found, **how)  # type: ignore[arg-type]
            run.take(job)
            report = job.wait(schedule.timeout_s)
        except Busy:
            assert job is not None
            job.cancel()
            return {"result": "timed out", "counts": job.wait().counts}
        except Exception as error:
            return {"result": "cancelled"} if run.cancelled else _failed(error)
        except BaseException:
            # Somebody interrupts the one that waits for it.
            run.cancel()
            raise
        return _came(report, run.cancelled)

    # The thread.

    def begin(self) -> None:
        """Start the thread when it is needed, and let it look."""
        with self._lock:
            state = self._state()
            if state is None or not state._allow_replay or state.read_only or self._ending:
                return
            if self._thread is None:
                # A daemon, so that a program that ends need not wait for the next time.
                self._thread = threading.Thread(target=self._work, name="spellkeep-replays", daemon=True)
                self._thread.start()
        self.wake()

    def wake(self) -> None:
        """Let the thread look at the clock now."""
        self._wakened.set()

    def end(self) -> None:
        """Cancel what runs, wait until that is written, and end the thread."""
        with self._moved:
            self._ending = True
            running, thread = list(self._running.values()), self._thread
            for run in running:
                run.cancel()
            self._wakened.set()
            self._moved.wait_for(lambda: not self._running, _CLOSE_S)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_S)

    def _work(self) -> None:
        while True:
            state = self._state()
            if state is None or self._ending:
                return
            try:
                # Before anything is registered there is nothing that could run, whoever opened the store.
                if len(state.hooks):
                    self._look(state)
                with self._lock:
                    wait_s = self._rest_s(state)
                    if wait_s is None:
                        self._thread = None
                        return
            except (Closed, Forked):
                return
            except StateError:
                # The disk is full, or worse; writers hear of it themselves.
                wait_s = _WAIT_S
            del state
            self._wakened.wait(wait_s)
            self._wakened.clear()

    def _look(self, state: StateManager) -> None:
        # One that waits is not selected again and again.
        if any(
            self._is_due(each) and all(name in state.hooks for name in self._waits.get(each.name, ()))
            for each in stored_schedules(state)
        ):
            self.run_due(state)

    def _rest_s(self, state: StateManager) -> float | None:
        times = [each.next_at for each in stored_schedules(state) if each.next_at is not None]
        if not times:
            return None
        until_s = (min(times) - self._now()).total_seconds()
        return min(max(until_s, _WAIT_S), _LOOK_S)


def _came(report: ReplayReport, cancelled: bool) -> dict[str, Any]:
    first = report.first_divergence
    # What was not run, for want of executions, inputs or a hook, is not as it was recorded.
    held = "same" if report.counts.keys() & {"same", "would run"} else "nothing"
    told: dict[str, Any] = {"result": held if first is None else "different", "counts": dict(report.counts)}
    if report.score is not None:
        told["score"] = report.score
    if first is not None:
        told["first_divergence"] = str(first)[:_DIVERGENCE_MAX]
    if cancelled:
        told["result"] = "cancelled"
    elif first is None and report.counts.get("no hook"):
        told["error"] = "a hook was not there any more"
    return told


def _failed(error: BaseException) -> dict[str, Any]:
    # Of what is not ours no more than the class: its text may hold what is secret.
    text = f"{error.code}: {_redactor.text(str(error))}" if isinstance(error, StateError) else type(error).__name__
    return {"result": "failed", "error": text}
