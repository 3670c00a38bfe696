"""replay ls, run and compare."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

import replayed
import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope, errors


@pytest.fixture
def steady(store: Path) -> Path:
    """A store with executions of every outcome."""
    with sk.open(store) as state:
        state.hooks.before("set", name="steady")(replayed.steady)
        for number in range(1, 12):
            with suppress(errors.HookVeto), sk.correlate(f"req-{number}"):
                state.set(StateScope.GLOBAL, "a", {"n": number, "password": "canary-1"})
    return store


def test_ls_lists_and_selects(spellkeep: Spellkeep, steady: Path) -> None:
    rows = spellkeep("replay", "ls", "--json").json
    assert len(rows) == 11
    assert {row["result"] for row in rows} == {"proceeded", "modified", "cancelled", "skipped", "failed"}
    (vetoed,) = spellkeep("replay", "ls", "--correlation", "req-5", "--json").json
    assert vetoed["result"] == "cancelled"
    assert spellkeep("replay", "ls", "--id", vetoed["id"]).out.startswith(vetoed["id"])
    assert "canary" not in spellkeep("replay", "ls", "--json").out


def test_run_says_what_is_the_same_and_what_is_not(spellkeep: Spellkeep, steady: Path, tmp_path: Path) -> None:
    before = steady.stat().st_mtime_ns
    same = spellkeep("replay", "run", "--hook-from", "replayed:steady", "--result", "proceeded", "--json")
    assert (same.code, same.json["counts"]) == (0, {"same": 4})
    out = tmp_path / "one.json"
    other = spellkeep("replay", "run", "--hook-from", "replayed:Small", "--output", str(out))
    assert other.code == 1
    assert "first divergence: steady/" in other.out
    assert "canary" not in other.out + out.read_text()
    assert steady.stat().st_mtime_ns == before


def test_what_if_from_the_command_line(spellkeep: Spellkeep, steady: Path) -> None:
    (first,) = spellkeep("replay", "ls", "--correlation", "req-1", "--json").json
    run = ("replay", "run", "--hook-from", "replayed:steady", "--id", first["id"], "--json")
    report = spellkeep(*run, "--set", "value.n=10").json
    assert report["items"][0]["replayed"]["outcome"] == "cancelled"
    assert spellkeep(*run, "--set", "value.n").error == "cli.usage"
    assert spellkeep(*run[:3], "nowhere:x", "--set", "value.n=1").error == "cli.usage"
    assert spellkeep(*run[:3], "nowhere:x").error == "replay.hook"


def test_compare_of_two_reports(spellkeep: Spellkeep, tmp_path: Path) -> None:
    def report(name: str, error: str) -> str:
        items = [{"id": "h/0/0", "replayed": {"outcome": "cancelled", "error": error}}, {"id": "h/0/1"}]
        (tmp_path / name).write_text(json.dumps({"items": items}))
        return str(tmp_path / name)

    a, b, bad = report("a", "x"), report("b", "y"), tmp_path / "bad"
    assert spellkeep("replay", "compare", a, a).code == 0
    differing = spellkeep("replay", "compare", a, b, "--json")
    assert (differing.code, differing.json) == (
        1,
        {"compared": 1, "score": 0.5, "differences": {"h/0/0": ["error: 'x' -> 'y'"]}},
    )
    assert spellkeep("replay", "compare", a, b, "--ignore", "error").code == 0
    bad.write_text("{}")
    assert spellkeep("replay", "compare", a, str(bad)).error == "replay.report"
