"""events emit|ls, and where the changes of a history come from."""

from __future__ import annotations

from pathlib import Path

import spellkeep as sk
from spellkeep import StateScope

from .conftest import Spellkeep


def test_what_was_emitted_is_listed(spellkeep: Spellkeep) -> None:
    assert spellkeep("events", "emit", "made").out == "1\n"
    origin = ["--correlation", "req-42", "--actor", "anna", "--tag", "a", "--tag", "b", "--cause", "1"]
    said = spellkeep("events", "emit", "plan.made", '{"steps": 3}', "--scope", "agent:scout", *origin, "--json")
    assert said.json == {"scope": "agent:scout", "type": "plan.made", "version": 2}
    assert spellkeep("events", "emit", "read", "-", stdin="[1]").out == "3\n"
    told = spellkeep("events", "ls", "--json").json["events"]
    assert [(event["version"], event["type"], event["data"]) for event in told] == [
        (1, "made", None),
        (2, "plan.made", {"steps": 3}),
        (3, "read", [1]),
    ]
    assert told[1]["at"].endswith("Z")
    assert told[1] == {
        "version": 2,
        "at": told[1]["at"],
        "scope": "agent:scout",
        "type": "plan.made",
        "correlation": "req-42",
        "actor": "anna",
        "tags": ["a", "b"],
        "cause": 1,
        "data": {"steps": 3},
    }
    row = spellkeep("events", "ls", "--type", "plan").out.rstrip("\n").split("\t")
    assert row == ["2", told[1]["at"], "agent:scout", "plan.made", "req-42", '{"steps": 3}']


def test_the_list_is_what_was_asked_for(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        for i in range(10):
            with sk.correlate(f"req-{i % 2}"):
                state.events.emit(f"kind{i % 3}.done", i, scope=StateScope.session(str(i % 2)))
                state.set(StateScope.GLOBAL, "k", i)

    def data(*options: object) -> list[int]:
        return [event["data"] for event in spellkeep("events", "ls", "--json", *options).json["events"]]

    assert data() == list(range(10))
    assert data("--type", "kind1") == [1, 4, 7]
    assert data("--scope", "session:1") == [1, 3, 5, 7, 9]
    assert data("--correlation", "req-0") == [0, 2, 4, 6, 8]
    assert data("--since", 11) == [6, 7, 8, 9]
    assert data("--limit", 2) == [8, 9]
    assert data("--scope", "global") == []


def test_what_cannot_be_is_refused(spellkeep: Spellkeep, store: Path) -> None:
    assert spellkeep("events", "ls").error == "store.missing"
    assert spellkeep("events", "emit", "made", "{").error == "cli.bad_json"
    assert not store.exists()
    assert spellkeep("events", "emit", "a//b").error == "key.double_slash"
    assert spellkeep("events", "emit", "made", "--actor", "x" * 129).error == "correlation.too_long"
    assert spellkeep("events", "ls", "--json").json == {"events": []}


def test_a_history_says_where_each_change_comes_from(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", 1)
        with sk.correlate("req-42", actor="anna", tags=["a"], cause=1):
            state.delete(StateScope.GLOBAL, "k")
    told = spellkeep("history", "global", "k", "--json").json["changes"]
    names = ("correlation", "actor", "tags", "cause")
    assert [tuple(change[name] for name in names) for change in told] == [
        ("req-42", "anna", ["a"], 1),
        (None, None, [], None),
    ]
