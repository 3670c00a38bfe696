"""The public types of replay, as a type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type

from spellkeep import StateManager
from spellkeep.hooks import Execution
from spellkeep.replay import Answer, Comparison, ReplayItem, ReplayJob, ReplayReport, Schedule, ScheduledRun, compare


def uses_replay(state: StateManager) -> None:
    found = state.replay.select(hook="check", limit=10)
    assert_type(found, list[Execution])
    assert_type(found[0].id, str)
    report = state.replay.verify(found, hook="checks:check", isolate=True, ignore=["value.at"])
    assert_type(report, ReplayReport)
    assert_type(report[0], ReplayItem)
    assert_type(report.first_divergence, ReplayItem | None)
    assert_type(report[0].answer, Answer | None)
    assert_type(report.document(), dict[str, Any])
    state.replay.what_if(found, {"value.amount": 5, ("value", "a.b"): None})
    state.replay.what_if(found, {"value.amount": 5})
    job = state.replay.start("verify", found, concurrency=2, progress=print)
    assert_type(job, ReplayJob)
    assert_type(job.wait(1.0), ReplayReport)
    assert_type(compare(1, 2), Comparison)
    state.replay.start("guess", found)  # type: ignore[arg-type]


def uses_schedules(state: StateManager) -> None:
    made = state.replay.schedule("nightly", cron="30 2 * * *", hook="check", limit=10)
    assert_type(made, Schedule)
    assert_type(made.next_at, datetime | None)
    assert_type(state.replay.schedules(), list[Schedule])
    assert_type(state.replay.runs("nightly"), list[ScheduledRun])
    assert_type(state.replay.run_due({"check": "checks:check"}, isolate=True)[0].ok, bool)
    state.replay.schedule("nightly", every_s="60")  # type: ignore[arg-type]
    state.replay.schedule(every_s=60)  # type: ignore[call-arg]
