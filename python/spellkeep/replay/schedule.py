"""A scheduled replay and what came of its runs, as they are stored and as they are shown."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from spellkeep.errors import InvalidKey
from spellkeep.replay.selecting import Selection
from spellkeep.replay.when import When
from spellkeep.scope import StateScope
from spellkeep.value import encode

if TYPE_CHECKING:
    from spellkeep.batch import Batch
    from spellkeep.store import StateManager

REPLAYS = StateScope.custom("spellkeep.replay")
"""Where schedules are kept. No hook runs for it."""

SCHEDULES_MAX = 100
"""Most schedules of a store."""
RUNS_KEPT = 20
"""Results that are kept of a schedule."""

SCHEDULES, RUNS = "schedule/", "run/"
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_NAME_MAX = 64

RunResult: TypeAlias = Literal["same", "different", "nothing", "failed", "cancelled", "timed out", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class ScheduledRun:
    """What came of one run of a schedule.

    Attributes:
        number: of the runs of its schedule, from 0.
        due_at: the time that it stands for.
        missed_count: how many later times had passed as well; it stands for them, too.
        result: ``same``; ``different``: something is not as it was recorded; ``nothing``: there was nothing that
            could be run, see `counts`; ``failed``: the replay itself, see `error`; ``cancelled``: the schedule was,
            or the store was closed; ``timed out``; ``interrupted``: the process ended in the middle of it.
        counts: how many executions have each status of a `ReplayItem`.
        score: how similar it is to what was recorded, 0 to 1; None: nothing was compared.
        first_divergence: as it is shown, without secrets.
        error: the code or class of what was raised, and what an error of Spellkeep says.
    """

    schedule: str
    number: int
    due_at: datetime
    began_at: datetime
    took_ms: int = 0
    missed_count: int = 0
    result: RunResult
    counts: dict[str, int]
    score: float | None = None
    first_divergence: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it ran, and everything that ran is as it was recorded."""
        return self.result == "same"

    def document(self) -> dict[str, Any]:
        """For JSON, and for the store."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items()))
        line = f"{self.schedule}: {self.result}"
        if counts:
            line += f" ({counts})"
        if self.missed_count:
            line += f", instead of {self.missed_count} more that were missed"
        return "\n".join(filter(None, (line, self.error, self.first_divergence)))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A replay that is run by itself.

    Attributes:
        name: of the schedule.
        mode, selection, hooks, parameters, ignore: what is run.
        when: the times.
        timeout_s: a run that takes longer is cancelled.
        next_at: the next time; None: there is none any more.
        running_since: since when it has been running; None: it is not.
        run_count: runs that are over.
        waits_for: hooks that a run which is due needs, and that are not registered in this process.
    """

    name: str
    mode: str
    selection: Selection
    when: When
    hooks: tuple[str, ...] | None = None
    parameters: tuple[tuple[Any, Any], ...] = ()
    ignore: tuple[str, ...] = ()
    timeout_s: float = 3600.0
    # A schedule that takes the name of another is another.
    id: str = ""
    next_at: datetime | None = None
    running_since: datetime | None = None
    running_due: tuple[datetime, int] | None = None
    run_count: int = 0
    waits_for: tuple[str, ...] = ()

    def asked(self) -> dict[str, Any]:
        """What it was asked to be, as it is stored."""
        names = ("mode", "hooks", "parameters", "ignore", "timeout_s")
        asked = {name: getattr(self, name) for name in names}
        return asked | {"selection": self.selection.document(), "when": self.when.document()}

    def is_asked_as(self, other: Schedule) -> bool:
        """Whether both were asked to be the same."""
        return encode(self.asked()) == encode(other.asked())

    def put(self, batch: Batch) -> None:
        """Add it to a batch."""
        names = ("id", "next_at", "running_since", "running_due", "run_count")
        batch.set(REPLAYS, SCHEDULES + self.name, self.asked() | {name: getattr(self, name) for name in names})

    @classmethod
    def of(cls, name: str, stored: dict[str, Any]) -> Self:
        """What `put` stored."""
        return cls(
            **{
                **stored,
                "name": name,
                "selection": Selection.of(stored["selection"]),
                "when": When.of(stored["when"]),
            }
        )


def check_name(name: str) -> None:
    """Raises: InvalidKey (replay.name)."""
    if len(name) > _NAME_MAX or _NAME.fullmatch(name) is None:
        raise InvalidKey(f"{name!r}: a schedule's name is 1 to 64 of A-Z a-z 0-9 . _ -", code="replay.name")


def stored_schedule(state: StateManager, name: str) -> Schedule | None:
    """The schedule of this name."""
    stored = state.get(REPLAYS, SCHEDULES + name)
    return None if stored is None else Schedule.of(name, stored)


def stored_schedules(state: StateManager) -> list[Schedule]:
    """All of them, by name."""
    return [Schedule.of(key[len(SCHEDULES) :], stored) for key, stored in state.items(REPLAYS, SCHEDULES)]


def put_run(state: StateManager, batch: Batch, run: ScheduledRun) -> None:
    """Add what came of a run to a batch, and remove those that are over the number that is kept."""
    keys = state.list_keys(REPLAYS, f"{RUNS}{run.schedule}/")
    for key in keys[: max(len(keys) + 1 - RUNS_KEPT, 0)]:
        batch.delete(REPLAYS, key)
    batch.set(REPLAYS, f"{RUNS}{run.schedule}/{run.number:012d}", run.document())


def stored_runs(state: StateManager, name: str, limit: int) -> list[ScheduledRun]:
    """What came of the last runs of a schedule, newest first."""
    keys = state.list_keys(REPLAYS, f"{RUNS}{name}/")[::-1][:limit]
    found = (state.get(REPLAYS, key) for key in keys)
    return [ScheduledRun(**run) for run in found if run is not None]
