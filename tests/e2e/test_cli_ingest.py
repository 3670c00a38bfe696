"""ingest: good files, bad lines, second runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope

GOOD = [
    {
        "conversation_id": "c-1",
        "reward": 1.0,
        "messages": [{"role": "user", "content": "hé"}, {"role": "tool", "x": None}],
    },
    {"conversation_id": "c/2:x", "messages": []},
]


def _line(document: Any) -> bytes:
    return json.dumps(document).encode() + b"\n"


def _conversation(name: str, *contents: Any) -> bytes:
    return _line({"conversation_id": name, "messages": [{"content": content} for content in contents]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(map(_line, GOOD)))
    return path


def test_each_conversation_goes_into_a_session_scope(spellkeep: Spellkeep, store: Path, file: Path) -> None:
    told = spellkeep("ingest", file, "--json").json
    assert told == {
        "conversation_count": 2,
        "message_count": 2,
        "written_count": 4,
        "unchanged_count": 0,
        "removed_count": 0,
        "skipped_line_count": 0,
        "last_version": 4,
    }
    with sk.open(store) as state:
        first = dict(state.items(StateScope.session("c-1")))
        assert dict(state.items(StateScope.session("c/2:x"))) == {"metadata": {}}
    assert first == {
        "metadata": {"reward": 1.0},
        "message/000000": {"role": "user", "content": "hé"},
        "message/000001": {"role": "tool", "x": None},
    }


def test_a_second_run_writes_nothing(spellkeep: Spellkeep, file: Path) -> None:
    spellkeep("ingest", file)
    again = spellkeep("ingest", file, "--json").json
    assert (again["written_count"], again["unchanged_count"], again["last_version"]) == (0, 4, 4)
    assert "0 records written, 4 unchanged" in spellkeep("ingest", file).out


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (0, False), ({"a": 1, "b": 2}, {"b": 2, "a": 1})])
def test_a_change_that_compares_equal_is_written_all_the_same(
    before: Any, after: Any, spellkeep: Spellkeep, file: Path
) -> None:
    file.write_bytes(_conversation("c", before))
    spellkeep("ingest", file)
    file.write_bytes(_conversation("c", after))
    assert spellkeep("ingest", file, "--json").json["written_count"] == 1
    shown = spellkeep("get", "session:c", "message/000000").out
    assert json.dumps(json.loads(shown)) == json.dumps({"content": after})


def test_a_conversation_that_became_shorter_loses_its_surplus(spellkeep: Spellkeep, store: Path, file: Path) -> None:
    file.write_bytes(_conversation("c", "a", "b", "c"))
    spellkeep("ingest", file)
    spellkeep("set", "session:c", "own", "1")
    file.write_bytes(_conversation("c", "a", "B"))
    told = spellkeep("ingest", file, "--json").json
    assert (told["written_count"], told["unchanged_count"], told["removed_count"]) == (1, 2, 1)
    assert spellkeep("ls", "session:c").out.split() == ["message/000000", "message/000001", "metadata", "own"]


BAD = [
    (b"{bad}\n", "ingest.bad_json"),
    (b'{"conversation_id": "x", "messages": [NaN]}\n', "ingest.bad_json"),
    (b"[" * 100_000 + b"\n", "ingest.bad_json"),
    (b"1" * 5_000 + b"\n", "ingest.bad_json"),
    (b'{"conversation_id": "x", "mess', "ingest.bad_json"),
    (b"[1]\n", "ingest.not_an_object"),
    (b'{"messages": []}\n', "ingest.missing_id"),
    (b'{"conversation_id": 7, "messages": []}\n', "ingest.bad_id"),
    (b'{"conversation_id": "", "messages": []}\n', "ingest.bad_id"),
    (_line({"conversation_id": "x" * 257, "messages": []}), "ingest.bad_id"),
    (b'{"conversation_id": "\\ud800", "messages": []}\n', "ingest.bad_id"),
    (b'{"conversation_id": "x"}\n', "ingest.messages_not_a_list"),
    (b'{"conversation_id": "x", "messages": {}}\n', "ingest.messages_not_a_list"),
    (b'{"conversation_id": "x", "messages": ["hi"]}\n', "ingest.message_not_an_object"),
    (_conversation("good-0"), "ingest.duplicate_id"),
    (b'{"conversation_id": "a\x00b", "messages": []}\n', "ingest.nul_byte"),
    (b"\xef\xbb\xbf" + _conversation("x"), "ingest.byte_order_mark"),
    (b"\n", "ingest.blank_line"),
    (b" \t\r\n", "ingest.blank_line"),
    (b'{"conversation_id": "\xff", "messages": []}\n', "ingest.not_utf8"),
    (_conversation("x", "y" * 200_000), "ingest.line_too_long"),
]


@pytest.mark.parametrize(("bad", "slug"), BAD, ids=[f"{number}-{slug}" for number, (_, slug) in enumerate(BAD)])
def test_a_bad_line_is_reported_by_number_and_nothing_is_written(
    bad: bytes, slug: str, spellkeep: Spellkeep, store: Path, file: Path
) -> None:
    last = not bad.endswith(b"\n")
    good = [_conversation("good-0", "a"), _conversation("good-1", "b")]
    file.write_bytes(b"".join([*good, bad] if last else [good[0], bad, good[1]]))
    number = 3 if last else 2
    arguments = ("ingest", file, "--line-bytes-max", 150_000)
    refused = spellkeep(*arguments)
    assert (refused.code, refused.out) == (1, "")
    first, second = refused.err.splitlines()
    assert first.startswith(f"{file}:{number}: {slug}: the line ")
    assert second == "error[ingest.bad_lines]: 1 bad line, nothing was written; --skip-bad leaves them out"
    assert not store.exists()

    skipped = spellkeep(*arguments, "--skip-bad", "--json")
    assert skipped.code == 0
    assert skipped.err.startswith(f"{file}:{number}: {slug}: ")
    assert (skipped.json["conversation_count"], skipped.json["skipped_line_count"]) == (2, 1)
    assert spellkeep("ls").out.split() == ["session:good-0", "session:good-1"]


def test_a_byte_order_mark_at_the_start_of_the_file_is_line_1(spellkeep: Spellkeep, file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert spellkeep("ingest", file).err.startswith(f"{file}:1: ingest.byte_order_mark")


def test_every_bad_line_is_reported_up_to_a_hundred(spellkeep: Spellkeep, file: Path) -> None:
    file.write_bytes(b"{\n" * 150)
    lines = spellkeep("ingest", file).err.splitlines()
    assert lines[99].startswith(f"{file}:100: ingest.bad_json")
    assert lines[100] == f"{file}: and 50 more bad lines"
    assert lines[101].startswith("error[ingest.bad_lines]: 150 bad lines")


def test_a_message_over_the_limits_stops_at_its_line(spellkeep: Spellkeep, file: Path) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    file.write_bytes(_conversation("a", "x") + _conversation("b", "y", deep) + _conversation("c", "z"))
    refused = spellkeep("ingest", file)
    first, second = refused.err.splitlines()
    assert first.startswith(f"{file}:2: value.")
    assert second == "error[ingest.bad_lines]: stopped at line 2; the 1 before are stored"
    # Not a part of the refused conversation, and nothing after it.
    assert spellkeep("ls").out == "session:a\n"
    told = spellkeep("ingest", file, "--skip-bad", "--json").json
    assert (told["conversation_count"], told["written_count"], told["skipped_line_count"]) == (2, 2, 1)
    assert spellkeep("ls").out.split() == ["session:a", "session:c"]


def test_the_end_of_the_last_line_may_be_missing(spellkeep: Spellkeep, file: Path) -> None:
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert spellkeep("ingest", file, "--json").json["conversation_count"] == 2


def test_an_empty_file_is_no_conversations(spellkeep: Spellkeep, file: Path) -> None:
    file.write_bytes(b"")
    assert spellkeep("ingest", file, "--json").json["conversation_count"] == 0


def test_stdin_is_a_file_too(spellkeep: Spellkeep, file: Path) -> None:
    assert spellkeep("ingest", "-", "--json", stdin=file.read_bytes()).json["conversation_count"] == 2
    bad = spellkeep("ingest", "-", stdin=b"{\n")
    assert bad.err.startswith("-:1: ingest.bad_json")


def test_a_missing_file_is_a_wrong_call(spellkeep: Spellkeep, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        refused = spellkeep("ingest", path)
        assert (refused.error, refused.code) == ("cli.usage", 2)
