"""replay schedule add, ls, rm and run-due."""

from __future__ import annotations

from pathlib import Path

import pytest

import replayed
import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope

SCHEDULE = ("replay", "schedule")


@pytest.fixture
def filled(store: Path) -> Path:
    with sk.open(store) as state:
        state.hooks.before("set", name="steady")(replayed.steady)
        for number in (1, 2):
            state.set(StateScope.GLOBAL, "a", {"n": number})
    return store


def test_what_is_due_runs_and_the_exit_code_says_whether_it_differs(spellkeep: Spellkeep, filled: Path) -> None:
    added = spellkeep(*SCHEDULE, "add", "nightly", "--every", 1, "--hook", "steady")
    assert (added.code, added.out.startswith("nightly: every 1 s, next 20")) == (0, True)
    assert spellkeep(*SCHEDULE, "add", "now", "--after", 0, "--hook", "steady").code == 0
    # Without its hook it stays due.
    missing = spellkeep(*SCHEDULE, "run-due")
    assert (missing.code, missing.error) == (2, "replay.hook")
    same = spellkeep(*SCHEDULE, "run-due", "--hook-from", "steady=replayed:steady", "--json")
    assert same.code == 0
    (ran,) = [run for run in same.json["runs"] if run["schedule"] == "now"]
    assert (ran["result"], ran["counts"]) == ("same", {"same": 2})
    assert spellkeep(*SCHEDULE, "add", "now", "--after", 0.001, "--hook", "steady").code == 0
    other = spellkeep(*SCHEDULE, "run-due", "--hook-from", "replayed:by_environment")
    assert other.code == 1
    assert "now: different (2 nondeterministic)" in other.out
    assert "outcome: 'proceeded' -> 'cancelled'" in other.out
    shown = {each["name"]: each for each in spellkeep(*SCHEDULE, "ls", "--json").json["schedules"]}
    assert [run["result"] for run in shown["now"]["runs"]] == ["different", "same"]
    assert (shown["now"]["next_at"], shown["now"]["run_count"]) == (None, 2)
    assert spellkeep(*SCHEDULE, "ls", "now").out.splitlines()[1].split("\t")[4] == "same"
    assert spellkeep(*SCHEDULE, "rm", "now").code == 0
    assert spellkeep(*SCHEDULE, "ls").out.split("\t")[:3] == ["nightly", "verify", "every 1 s"]
    assert spellkeep(*SCHEDULE, "rm", "now").error == "replay.missing"
    assert spellkeep(*SCHEDULE, "ls", "now").error == "replay.missing"


def test_a_hook_that_cannot_be_imported_fails_the_run(spellkeep: Spellkeep, filled: Path) -> None:
    spellkeep(*SCHEDULE, "add", "now", "--after", 0)
    failed = spellkeep(*SCHEDULE, "run-due", "--hook-from", "nowhere:x", "--json")
    assert failed.code == 1
    (run,) = failed.json["runs"]
    assert (run["result"], run["error"].partition(":")[0]) == ("failed", "replay.hook")


def test_every_mode_can_be_added(spellkeep: Spellkeep, filled: Path) -> None:
    what_if = ("--mode", "what_if", "--set", "value.n=10", "--limit", 1)
    assert spellkeep(*SCHEDULE, "add", "a", "--cron", "0 3 * * *", "--zone", "Europe/Paris", *what_if).code == 0
    assert spellkeep(*SCHEDULE, "add", "b", "--after", 0, *what_if).code == 0
    only = ("--mode", "substitute", "--run-hook", "steady")
    assert spellkeep(*SCHEDULE, "add", "c", "--at", "2020-01-01T00:00:00", *only).code == 0
    done = spellkeep(*SCHEDULE, "run-due", "--hook-from", "replayed:steady", "--json")
    assert {run["schedule"]: run["counts"] for run in done.json["runs"]} == {"b": {"different": 1}, "c": {"same": 2}}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ((), "cli.usage"),
        (("--every", 1, "--after", 1), "cli.usage"),
        (("--every", "soon"), "cli.usage"),
        (("--every", 0.1), "replay.option"),
        (("--cron", "daily"), "replay.option"),
        (("--every", 1, "--mode", "substitute"), "cli.usage"),
        (("--every", 1, "--result", "fine"), "cli.usage"),
        (("--every", 1, "--at", "noon"), "cli.usage"),
        (("--every", 1, "--scope", "a:b:c"), "scope.parse"),
    ],
)
def test_what_is_no_schedule_is_a_usage_error(
    spellkeep: Spellkeep, filled: Path, wrong: tuple[str, ...], code: str
) -> None:
    done = spellkeep(*SCHEDULE, "add", "a", *wrong)
    assert (done.code, done.error.split(".")[0]) == (2, code.split(".")[0])
    assert "=" not in done.err.replace("hint=", "")
    assert spellkeep(*SCHEDULE, "ls", "--json").json == {"schedules": []}
    assert spellkeep(*SCHEDULE, "run-due", "--hook-from", "a:b", "--hook-from", "c=d:e").error == "cli.usage"
