"""history, stats, and how values look that JSON has no words for."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope
from spellkeep.value import Tagged


def test_history_is_newest_first(spellkeep: Spellkeep) -> None:
    spellkeep("set", "agent:scout", "plan", "1")
    spellkeep("rm", "agent:scout", "plan")
    spellkeep("set", "agent:scout", "plan", '{"a": "x\\ty"}')
    spellkeep("rm", "agent:scout", "--all", "--yes")
    told = spellkeep("history", "agent:scout", "plan", "--json").json
    assert (told["scope"], told["key"]) == ("agent:scout", "plan")
    changes = told["changes"]
    assert [(each["version"], each["operation"], each["value"]) for each in changes] == [
        (4, "clear", None),
        (3, "set", {"a": "x\ty"}),
        (2, "delete", None),
        (1, "set", 1),
    ]
    assert [each["state_class"] for each in changes] == [None, "standard", None, "standard"]
    assert all(each["at"].endswith("Z") for each in changes)
    rows = [line.split("\t") for line in spellkeep("history", "agent:scout", "plan").out.splitlines()]
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("4", "clear", ""),
        ("3", "set", '{"a": "x\\ty"}'),
        ("2", "delete", ""),
        ("1", "set", "1"),
    ]
    limited = spellkeep("history", "agent:scout", "plan", "--limit", "2", "--json").json
    assert limited["changes"] == changes[:2]


def test_history_of_a_key_that_never_was_is_code_1(spellkeep: Spellkeep) -> None:
    spellkeep("set", "global", "k", "1")
    missing = spellkeep("history", "global", "other")
    assert (missing.error, missing.code) == ("key.missing", 1)


def test_stats_tell_the_same_in_both_forms(spellkeep: Spellkeep) -> None:
    for key in "abc":
        spellkeep("set", "agent:scout", key, "1")
    told = spellkeep("stats", "--json").json
    assert set(told) == {"stats", "recovery"}
    assert {"key_count", "scope_count", "last_version", "durable_version", "log_bytes"} <= set(told["stats"])
    assert (told["stats"]["key_count"], told["stats"]["last_version"]) == (3, 3)
    assert told["recovery"]["clean"] is True
    rows = dict(line.split("\t") for line in spellkeep("stats").out.splitlines())
    assert set(rows) == {f"{part}.{name}" for part, values in told.items() for name in values}
    assert (rows["stats.key_count"], rows["recovery.clean"]) == ("3", "yes")


SHOWN: list[tuple[Any, Any]] = [
    (b"\x00\xff", {"$bytes": "AP8="}),
    (bytearray(b"a"), {"$bytearray": "YQ=="}),
    ((1, "a"), {"$tuple": [1, "a"]}),
    ({1}, {"$set": [1]}),
    (frozenset({1}), {"$frozenset": [1]}),
    (float("nan"), {"$float": "nan"}),
    (float("-inf"), {"$float": "-inf"}),
    (1 + 2j, {"$complex": [1.0, 2.0]}),
    (decimal.Decimal("1.50"), {"$decimal": "1.50"}),
    (uuid.UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
    (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), {"$datetime": "2026-01-02T03:00:00+00:00"}),
    (datetime.date(2026, 1, 2), {"$date": "2026-01-02"}),
    (datetime.time(1, 2, 3), {"$time": "01:02:03"}),
    (datetime.timedelta(days=-1, seconds=2, microseconds=3), {"$timedelta": [-1, 2, 3]}),
    ("\ud800", {"$wtf8": "7aCA"}),
    (10**5000, {"$int": hex(10**5000)}),
    (2**200, 2**200),
    ({1: "a", None: "b"}, {"$map": [[1, "a"], [None, "b"]]}),
    # A dict that looks like one of these forms is never mistaken for it.
    ({"$bytes": "AP8="}, {"$map": [["$bytes", "AP8="]]}),
    ({"\ud800": 1}, {"$map": [[{"$wtf8": "7aCA"}, 1]]}),
    ({"a": [{"b": (b"",)}]}, {"a": [{"b": {"$tuple": [{"$bytes": ""}]}}]}),
    (
        Tagged("nobody.Point", 2, {"x": b"a"}),
        {"$tagged": {"tag": "nobody.Point", "version": 2, "payload": {"x": {"$bytes": "YQ=="}}}},
    ),
]


@pytest.mark.parametrize(("value", "shown"), SHOWN, ids=range(len(SHOWN)))
def test_what_json_cannot_say_is_shown_in_a_form_of_its_own(
    value: Any, shown: Any, spellkeep: Spellkeep, store: Path
) -> None:
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", value)
    assert spellkeep("get", "global", "k").json == shown
    assert spellkeep("get", "global", "k", "--json").json["value"] == shown
    assert spellkeep("history", "global", "k", "--json").json["changes"][0]["value"] == shown
    assert spellkeep("history", "global", "k").code == 0


def test_arrays_are_shown_with_their_shape(spellkeep: Spellkeep, store: Path) -> None:
    numpy = pytest.importorskip("numpy")
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", numpy.array([[1.0, numpy.nan]], dtype="float32"))
    shown = {"$ndarray": {"dtype": "float32", "shape": [1, 2], "data": [[1.0, {"$float": "nan"}]]}}
    assert spellkeep("get", "global", "k").json == shown


def test_the_deepest_value_is_shown(spellkeep: Spellkeep, store: Path) -> None:
    deep: Any = 1
    for _ in range(127):
        deep = [deep]
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", deep)
    assert spellkeep("get", "global", "k").json == deep


def test_no_value_can_drive_the_terminal(spellkeep: Spellkeep, store: Path) -> None:
    nasty = "\x1b[2J\x9b2J\x7f\u2028"
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", nasty)
    shown = spellkeep("get", "global", "k")
    assert shown.json == nasty
    assert all(character.isprintable() for character in shown.out.rstrip("\n"))
    refused = spellkeep("get", nasty, "k")
    assert all(character.isprintable() for character in refused.err.rstrip("\n"))
