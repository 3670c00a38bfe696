"""When a scheduled replay is due, and what is refused as a schedule."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from scheduled import Clock, opened
from spellkeep import errors
from spellkeep.replay import When


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "first", "later"),
    [
        # (now when it runs, when it is due again, missed)
        (When(at=at("2026-03-29T00:00")), "2026-03-29T00:00", [("2026-03-30T00:00", None, 0)]),
        (When(after_s=60), "2026-03-28T12:01", [("2026-03-28T12:01", None, 0)]),
        (
            When(every_s=60),
            "2026-03-28T12:01",
            [
                ("2026-03-28T12:01", "2026-03-28T12:02", 0),
                ("2026-03-28T12:01:59", "2026-03-28T12:02", 0),
                # The time that it is due now counts.
                ("2026-03-28T12:02", "2026-03-28T12:03", 1),
                ("2026-03-28T14:01:30", "2026-03-28T14:02", 120),
                # Set back.
                ("2026-03-28T09:00", "2026-03-28T12:02", 0),
            ],
        ),
        (
            When(cron="30 2 * * *"),
            "2026-03-29T02:30",
            [
                ("2026-03-29T02:30", "2026-03-30T02:30", 0),
                ("2026-04-02T00:00", "2026-04-02T02:30", 3),
                ("2026-03-29T02:29", "2026-03-30T02:30", 0),
            ],
        ),
        # There is no half past two on that day in Paris: it comes as soon as the clocks are set.
        (
            When(cron="30 2 * * *", zone="Europe/Paris"),
            "2026-03-29T01:00",
            [("2026-03-29T01:00", "2026-03-30T00:30", 0)],
        ),
        # Counted up to a thousand.
        (When(cron="* * * * *"), "2026-03-28T12:01", [("2026-06-01T00:00", "2026-06-01T00:01", 1000)]),
    ],
)
def test_when_it_is_due(when: When, first: str, later: list[tuple[str, str | None, int]]) -> None:
    now = at("2026-03-28T12:00")
    due = when.first(now)
    assert due == at(first)
    for moment, following, missed in later:
        assert when.following(due, at(moment)) == (None if following is None else at(following), missed)
    assert When.of(when.document()) == when


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, TypeError),
        ({"every_s": 1, "after_s": 1}, TypeError),
        ({"every_s": 0.5}, errors.LimitExceeded),
        ({"every_s": float("nan")}, errors.LimitExceeded),
        ({"after_s": -1}, errors.LimitExceeded),
        ({"cron": "every day"}, errors.LimitExceeded),
        ({"cron": "0 0 30 2 *"}, errors.LimitExceeded),
        ({"cron": "0 0 * * *", "zone": "Mars/Olympus"}, errors.LimitExceeded),
        ({"cron": "0 0 * * *", "zone": "../etc/passwd"}, errors.LimitExceeded),
        ({"after_s": 1, "mode": "guess"}, ValueError),
        ({"after_s": 1, "mode": "substitute"}, TypeError),
        ({"after_s": 1, "hooks": ["a"]}, TypeError),
        ({"after_s": 1, "mode": "substitute", "hooks": "a"}, TypeError),
        ({"after_s": 1, "parameters": {"value": 1}}, TypeError),
        ({"after_s": 1, "ignore": "value"}, TypeError),
        ({"after_s": 1, "timeout_s": 0}, errors.LimitExceeded),
        ({"after_s": 1, "limit": -1}, errors.LimitExceeded),
        ({"after_s": 1, "result": "fine"}, ValueError),
        ({"after_s": 1, "scope": "agent:scout"}, TypeError),
        ({"after_s": 1, "name": "a/b"}, errors.InvalidKey),
        ({"after_s": 1, "name": "a" * 65}, errors.InvalidKey),
    ],
)
def test_what_is_no_schedule_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    state = sk.open("memory:")
    with pytest.raises(error):
        state.replay.schedule(wrong.pop("name", "a"), **wrong)
    assert state.replay.schedules() == []


def test_a_zone_that_is_not_known_here_holds_up_no_other_and_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where a store is opened in a smaller image: nothing ran any more, and cancel() raised what its zone is not.
    def gone(name: str) -> None:
        raise KeyError(name)

    clock = Clock()
    with opened(tmp_path / "s", clock) as state:
        state.replay.schedule("paris", cron="0 0 * * *", zone="Europe/Paris")
        state.replay.schedule("other", after_s=60)
    monkeypatch.setattr("spellkeep.replay.when.ZoneInfo", gone)
    clock.move(86_400)
    with opened(tmp_path / "s", clock) as state:
        assert [(run.schedule, run.result) for run in state.replay.run_due()] == [
            ("other", "nothing"),
            ("paris", "failed"),
        ]
        (failed,) = state.replay.runs("paris")
        assert "Europe/Paris" in (failed.error or "") and state.replay.run_due() == []
        (paris,) = [each for each in state.replay.schedules() if each.name == "paris"]
        assert paris.next_at == clock.now + timedelta(hours=1) and paris.when.zone == "Europe/Paris"
        state.replay.cancel("paris")
        assert [each.name for each in state.replay.schedules()] == ["other"]


@pytest.mark.parametrize(
    "asked",
    [
        {"at": "tomorrow"},
        {"at": date(2026, 1, 1)},
        {"cron": 5},
        {"cron": "0 0 * * *", "zone": 5},
        {"after_s": 1, "ignore": [1]},
        {"after_s": 1, "mode": "what_if", "parameters": [1]},
        {"after_s": 1, "mode": "substitute", "hooks": [1]},
        {"after_s": 1, "mode": "substitute", "hooks": []},
    ],
)
def test_what_no_run_could_do_is_refused_when_it_is_asked(asked: dict[str, Any]) -> None:
    with sk.open("memory:") as state, pytest.raises(TypeError):
        state.replay.schedule("a", **asked)
