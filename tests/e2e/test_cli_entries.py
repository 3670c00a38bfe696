"""get, set, ls, rm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")


def test_what_was_set_is_printed_as_json(spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "agent:scout", "plan", '{"step": 1, "é": [null, 2.5]}').out == "1\n"
    shown = spellkeep("get", "agent:scout", "plan")
    assert (shown.code, shown.err) == (0, "")
    assert shown.json == {"step": 1, "é": [None, 2.5]}


def test_set_and_get_tell_more_in_json(spellkeep: Spellkeep) -> None:
    told = spellkeep("set", "global", "k", "1", "--json").json
    assert told == {"scope": "global", "key": "k", "version": 1}
    shown = spellkeep("get", "global", "k", "--json").json
    assert shown.pop("updated_at").endswith("Z")
    expected = {"scope": "global", "key": "k", "version": 1, "expires_at": None, "state_class": "standard", "value": 1}
    assert shown == expected


def test_a_value_with_ttl_says_when_it_expires_and_is_gone_then(spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "global", "k", "1", "--ttl-s", "3600").code == 0
    assert spellkeep("get", "global", "k", "--json").json["expires_at"].endswith("Z")
    assert spellkeep("history", "global", "k", "--json").json["changes"][0]["expires_at"].endswith("Z")
    assert spellkeep("set", "global", "k", "2", "--ttl-s", "0.001").code == 0
    assert spellkeep("get", "global", "k").err.startswith("error[key.missing]")
    refused = spellkeep("set", "global", "k", "2", "--ttl-s", "0")
    assert (refused.code, refused.err[:24]) == (2, "error[ttl.out_of_range]:")


@pytest.mark.parametrize("value", ["-5", "-1.5e3", "0", '"-"', "true", "[]", '""'])
def test_every_json_value_is_taken(value: str, spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "global", "k", value).code == 0
    assert spellkeep("get", "global", "k").json == json.loads(value)


def test_text_is_stored_as_it_is(spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "global", "k", "{not json", "--text").code == 0
    assert spellkeep("get", "global", "k").json == "{not json"


def test_a_dash_reads_the_value_from_stdin(spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "global", "json", "-", stdin='{"a":\n 1}\n').code == 0
    assert spellkeep("set", "global", "text", "-", "--text", stdin="two\nlines\n").code == 0
    assert spellkeep("get", "global", "json").json == {"a": 1}
    assert spellkeep("get", "global", "text").json == "two\nlines\n"


@pytest.mark.parametrize(
    ("value", "stdin", "slug"),
    [
        ("{bad", None, "cli.bad_json"),
        ("", None, "cli.bad_json"),
        ("NaN", None, "cli.bad_json"),
        ("[" * 100_000, None, "cli.bad_json"),
        ("1" * 5_000, None, "cli.bad_json"),
        ("-", b"\xff", "cli.not_utf8"),
    ],
)
def test_what_is_no_json_is_refused(
    value: str, stdin: bytes | None, slug: str, spellkeep: Spellkeep, store: Path
) -> None:
    refused = spellkeep("set", "global", "k", value, stdin=stdin)
    assert (refused.error, refused.code) == (slug, 2)
    assert not store.exists()


def test_a_version_that_moved_on_is_a_conflict(spellkeep: Spellkeep) -> None:
    assert spellkeep("set", "global", "k", "1", "--if-version", "0").code == 0
    conflict = spellkeep("set", "global", "k", "2", "--if-version", "0")
    assert (conflict.error, conflict.code) == ("cas.version_mismatch", 1)
    assert spellkeep("set", "global", "k", "2", "--if-version", "1").out == "2\n"
    conflict = spellkeep("rm", "global", "k", "--if-version", "1")
    assert (conflict.error, conflict.code) == ("cas.version_mismatch", 1)
    assert spellkeep("get", "global", "k").json == 2


def test_a_missing_key_is_one_line_and_code_1(spellkeep: Spellkeep) -> None:
    spellkeep("set", "global", "k", "1")
    missing = spellkeep("get", "global", "other")
    assert (missing.error, missing.code) == ("key.missing", 1)


def test_a_missing_key_with_a_default_is_no_error(spellkeep: Spellkeep) -> None:
    spellkeep("set", "global", "k", "null")
    assert spellkeep("get", "global", "other", "--default", '{"a": 1}').json == {"a": 1}
    assert spellkeep("get", "global", "other", "--default", "null").json is None
    assert spellkeep("get", "global", "k", "--default", "1").json is None
    shown = spellkeep("get", "global", "other", "--default", "1", "--json").json
    nothing = {"version": 0, "updated_at": None, "expires_at": None, "state_class": None}
    assert shown == {"scope": "global", "key": "other", **nothing, "value": 1}


@pytest.mark.parametrize(
    ("scope", "key", "slug"),
    [("nobody", "k", "scope.malformed"), ("global", "", "key.empty"), ("global", "x" * 257, "key.too_long")],
)
def test_a_wrong_scope_or_key_is_code_2(scope: str, key: str, slug: str, spellkeep: Spellkeep) -> None:
    spellkeep("set", "global", "k", "1")
    for command in (["get", scope, key], ["set", scope, key, "1"], ["rm", scope, key], ["history", scope, key]):
        refused = spellkeep(*command)
        assert (refused.error, refused.code) == (slug, 2)


def test_scopes_and_keys_are_listed_in_order(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        for key in ("b", "a/2", "a/1"):
            state.set(SCOUT, key, 1)
        state.set(StateScope.GLOBAL, "k", 1)
        state.set(StateScope.custom("a b"), "k", 1)
    assert spellkeep("ls").out == "global\nagent:scout\ncustom:a%20b\n"
    assert spellkeep("ls", "--json").json["scopes"][1] == {"scope": "agent:scout", "key_count": 3}
    assert spellkeep("ls", "agent:scout").out == "a/1\na/2\nb\n"
    assert spellkeep("ls", "agent:scout", "--prefix", "a/").out == "a/1\na/2\n"
    listed = spellkeep("ls", "agent:scout", "--prefix", "a/", "--json").json
    assert listed == {"scope": "agent:scout", "prefix": "a/", "keys": ["a/1", "a/2"]}
    empty = spellkeep("ls", "agent:nobody")
    assert (empty.code, empty.out) == (0, "")
    assert spellkeep("ls", "--prefix", "a").error == "cli.usage"


def test_rm_removes_a_key_once(spellkeep: Spellkeep) -> None:
    spellkeep("set", "global", "k", "1")
    assert spellkeep("rm", "global", "k", "--json").json == {"scope": "global", "key": "k", "version": 2}
    gone = spellkeep("rm", "global", "k")
    assert (gone.error, gone.code) == ("key.missing", 1)


def test_rm_all_asks_first(spellkeep: Spellkeep) -> None:
    for key in "abc":
        spellkeep("set", "agent:scout", key, "1")
    spellkeep("set", "global", "k", "1")
    for answer in ("n\n", "", "what\n"):
        declined = spellkeep("rm", "agent:scout", "--all", stdin=answer)
        assert (declined.code, declined.out) == (1, "")
        assert "Remove 3 keys of agent:scout?" in declined.err
        assert declined.err.splitlines()[-1] == "error[cli.declined]: nothing was removed"
    assert spellkeep("rm", "agent:scout", "--all", stdin="y\n").out == "removed 3 keys\n"
    assert spellkeep("ls").out == "global\n"
    assert spellkeep("rm", "global", "--all", "--yes", "--json").json == {"scope": "global", "removed_count": 1}
    # Nothing there: nothing to ask.
    assert spellkeep("rm", "global", "--all").out == "removed 0 keys\n"


@pytest.mark.parametrize("arguments", [["global"], ["global", "k", "--all"], ["global", "--all", "--if-version", "1"]])
def test_rm_wants_a_key_or_all(arguments: list[str], spellkeep: Spellkeep) -> None:
    refused = spellkeep("rm", *arguments)
    assert (refused.error, refused.code) == ("cli.usage", 2)
