"""timeline and why on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")


@pytest.fixture(autouse=True)
def story(store: Path) -> None:
    with sk.open(store) as state:
        with sk.correlate("req-1", actor="anna"), state.events.span("turn", {"secret": "canary"}):
            state.set(SCOUT, "plan", "canary")
        state.set(SCOUT, "alone", 1)


def test_a_correlation_is_shown_each_cause_above_what_it_caused(spellkeep: Spellkeep) -> None:
    done = spellkeep("timeline", "req-1")
    lines = done.out.splitlines()
    assert done.code == 0 and lines[1] == "[req-1]" and len(lines) == 4
    assert "* turn  global  by anna" in lines[2] and "  set  agent:scout plan  by anna" in lines[3]


def test_formats_stats_and_files(spellkeep: Spellkeep, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in spellkeep("timeline", "--json").out.splitlines()]
    assert [(row["version"], row["cause"]) for row in rows] == [(1, None), (2, 1), (3, None)]
    assert json.loads(spellkeep("timeline", "--stats", "--json").out)["depth"] == 1
    assert "types: set 2, turn 1" in spellkeep("timeline", "--stats").out
    assert len(json.loads(spellkeep("timeline", "--format", "chrome").out)["traceEvents"]) > 3
    assert spellkeep("timeline", "--critical", "--format", "mermaid").out.count("-->") == 1
    page = tmp_path / "story.html"
    assert spellkeep("timeline", "--format", "html", "--output", str(page)).out == f"3 changes to {page}\n"
    assert page.read_text().startswith("<!doctype html>")


def test_wrong_calls_are_one_line(spellkeep: Spellkeep) -> None:
    for arguments, code, slug in (
        (("timeline", "--since", "yesterday"), 2, "cli.usage"),
        (("timeline", "--scope", "agent:scout", "--agent", "scout"), 2, "cli.usage"),
        (("timeline", "--scope", "nonsense"), 2, "scope.malformed"),
        (("timeline", "--output", "/nonexistent/story"), 5, "storage.io"),
        (("why", "agent:scout", "never"), 1, "key.missing"),
    ):
        done = spellkeep(*arguments)
        assert (done.code, done.error) == (code, slug)
    done = spellkeep("timeline", "req-2")
    assert (done.code, done.out) == (0, "") and done.err.startswith("note: nothing was found")


def test_why_goes_back_to_where_it_began_and_shows_no_value(spellkeep: Spellkeep) -> None:
    found = json.loads(spellkeep("why", "agent:scout", "plan", "--json").out)
    assert [row["version"] for row in found["chain"]] == [2, 1] and found["lost_cause"] is None
    shown = [spellkeep("why", "agent:scout", "plan").out]
    shown += [spellkeep("timeline", "--format", form).out for form in ("jsonl", "chrome", "otlp", "mermaid", "html")]
    assert all(shown) and not [text for text in shown if "canary" in text]
