"""hooks ls, stats, history, enable, disable, forget: of hooks that ran in another process."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope, errors
from spellkeep.hooks import HookResult

CANARY = "sk-proj-canary0123456789abcdef"


@pytest.fixture
def ran(spellkeep: Spellkeep, store: Path) -> Spellkeep:
    scope = StateScope.agent("scout")
    with sk.open(store) as state:
        state.hooks.after("set", name="tell")(lambda change: None)

        @state.hooks.before("set", key="bad")
        def check(context: object) -> HookResult:
            return HookResult.cancel(f"no {CANARY}")

        with sk.correlate("req-1"):
            state.set(scope, "a", 1)
        state.set(scope, "b", 2)
        with pytest.raises(errors.HookVeto):
            state.set(scope, "bad", {"password": CANARY, "note": CANARY})
        assert state.hooks.drain(60)
    return spellkeep


def test_what_ran_is_listed_with_its_figures(ran: Spellkeep) -> None:
    rows = {row[0]: row for row in (line.split("\t") for line in ran("hooks", "ls").out.splitlines())}
    assert rows["tell"][1] == "on" and rows["tell"][3:] == ["2", "0"]
    listed = ran("hooks", "ls", "--json").json["hooks"]
    assert [each["name"] for each in listed] == ["tell"] or {each["name"] for each in listed} == {"tell", "check"}
    figures = ran("hooks", "stats", "tell", "--json").json["hooks"][0]
    assert (figures["count"], figures["proceeded_count"], figures["breaker"]) == (2, 2, "closed")
    assert "tell.count\t2" in ran("hooks", "stats").out


def test_executions_are_shown_without_secrets(ran: Spellkeep) -> None:
    told = ran("hooks", "history", "tell", "--json").json["executions"]
    assert [each["result"] for each in told] == ["proceeded"] * 2
    one = ran("hooks", "history", "tell", "--correlation", "req-1", "--json").json["executions"]
    assert [each["version"] for each in one] == [min(each["version"] for each in told)]
    refused = ran("hooks", "history", "--result", "cancelled", "--json")
    assert refused.json["executions"][0]["input"]["value"] == {"password": "[redacted]", "note": "[redacted]"}
    for command in (("history",), ("history", "--json"), ("stats",), ("ls", "--json")):
        assert CANARY not in ran("hooks", *command).out


def test_nothing_that_is_written_about_hooks_has_the_secret(ran: Spellkeep, store: Path) -> None:
    for path in store.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_switches_last_and_what_is_forgotten_is_gone(ran: Spellkeep, store: Path) -> None:
    ran("hooks", "disable", "tell")
    assert [each["enabled"] for each in ran("hooks", "ls", "--json").json["hooks"] if each["name"] == "tell"] == [False]
    with sk.open(store) as state:
        state.hooks.after("set", name="tell")(lambda change: None)
        assert [info.enabled for info in state.hooks.ls()] == [False]
    ran("hooks", "enable", "tell")
    assert ran("hooks", "forget", "tell").out == "forgot tell and 2 executions\n"
    assert "tell" not in ran("hooks", "ls").out
    assert ran("hooks", "enable", "tell").error == "hook.missing"


def test_retention_is_shown_and_changed(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store):
        pass
    assert spellkeep("hooks", "retention").out == "keep_count\t100,000\nkeep_days\t30.0\nkeep_important_days\t365.0\n"
    changed = {"keep_count": 50, "keep_days": None, "keep_important_days": 365.0}
    assert spellkeep("hooks", "retention", "--keep-count", 50, "--keep-days", "all", "--json").json == changed
    assert spellkeep("hooks", "retention", "--json").json == changed
    assert spellkeep("hooks", "retention", "--keep-days", "some").error == "cli.usage"
    assert spellkeep("hooks", "retention", "--keep-days", "-1").error == "hook.option"
