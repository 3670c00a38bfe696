"""Options, paths, and stores without files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"durability": "always"}, "durability"),
    ({"durability": ""}, "durability"),
    *(({"interval_ms": value}, "interval_ms") for value in (0, -1, 60_001, 2**64)),
    *(({"ring_bytes": value}, "ring_bytes") for value in (0, -65536, 65535, 61440, 65537, 2**30 + 4096, 2**70)),
    *(({"checkpoint_log_bytes": value}, "checkpoint_log_bytes") for value in (0, -1, 65535, 2**40 + 1, 2**64)),
    *(({"segment_bytes": value}, "segment_bytes") for value in (0, -1, 65535, 2**40 + 1, 2**64)),
]


@pytest.mark.parametrize(("options", "name"), OPTIONS, ids=str)
def test_an_option_out_of_range_is_refused_by_name_and_makes_nothing(
    tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    for path in (tmp_path / "s", "memory:"):
        with pytest.raises(errors.LimitExceeded, match=name) as caught:
            sk.open(path, **options)
        assert caught.value.code == "store.option"
    assert list(tmp_path.iterdir()) == []


def test_what_others_call_a_store_in_memory_makes_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='"memory:"'):
        sk.open(":memory:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"durability": None},
        {"interval_ms": "20"},
        {"ring_bytes": 65536.0},
        {"limits": {}},
        {"mapped_ring": "yes"},
        {"x": 1},
    ],
    ids=str,
)
def test_an_option_of_another_type_is_a_type_error(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        sk.open(tmp_path / "s", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"interval_ms": 1}, {"interval_ms": 60_000}, {"ring_bytes": 65536}, {"segment_bytes": 65536}]
)
def test_an_option_at_the_edge_of_its_range_is_taken(options: dict[str, Any]) -> None:
    with sk.open("memory:", **options) as state:
        state.set(SCOUT, "a", 1)


@pytest.mark.parametrize("word", ["process", "interval", "sync"])
def test_the_durability_is_a_word_that_can_be_asked_for(tmp_path: Path, word: Any) -> None:
    with sk.open(tmp_path / "s", durability=word) as state:
        assert state.durability == word
        version = state.set(SCOUT, "a", 1)
        if word == "sync":
            assert state.durable_version == version
        assert state.flush() == state.durable_version == version


def test_options_may_change_from_one_opening_to_the_next(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {"ring_bytes": 65536},
        {"ring_bytes": 1 << 20, "durability": "sync"},
        {"mapped_ring": False},
        {"mapped_ring": True, "ring_bytes": 65536},
        {"segment_bytes": 65536},
        {},
    ]
    for count, options in enumerate(changes):
        with sk.open(tmp_path / "s", **options) as state:
            assert (state.recovery.clean, len(state.scope(SCOUT))) == (True, count)
            state.set(SCOUT, f"{count}", count)


def test_a_path_that_is_a_file_or_under_one_is_not_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "s"):
        with pytest.raises(errors.StorageFailed) as caught:
            sk.open(path)
        assert caught.value.code == "storage.not_a_directory"
        assert isinstance(caught.value, OSError)
        assert caught.value.errno
        assert "file" in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_of_something_else_is_left_as_it_is_or_used_beside_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with sk.open(tmp_path) as state:
        state.set(SCOUT, "a", 1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["str", "path", "nested", "unicode", "relative"])
def test_paths_of_every_form_open_the_directory_they_name(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path: Any = {
        "str": str(tmp_path / "s"),
        "path": tmp_path / "s",
        "nested": tmp_path / "a" / "b" / "c",
        "unicode": tmp_path / "Zustände \U0001f600",
        "relative": "s",
    }[kind]
    with sk.open(path) as state:
        assert state.path == os.fspath(path)
        state.set(SCOUT, "a", 1)
    assert Path(path).is_dir()


@pytest.mark.parametrize("path", [None, 7, b"s", ["s"]])
def test_what_is_no_path_is_a_type_error(path: Any) -> None:
    with pytest.raises(TypeError):
        sk.open(path)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_no_file_system_takes_is_an_error_that_says_so(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((errors.StorageFailed, ValueError)):
        sk.open(path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_makes_no_file_and_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sk.open("memory:") as one, sk.open("memory:", durability="sync") as two:
        assert one.path == two.path == "memory:"
        one.set(SCOUT, "a", 1)
        two.set(SCOUT, "a", 2)
        assert (one.get(SCOUT, "a"), two.get(SCOUT, "a")) == (1, 2)
        assert one.flush() == 1
        assert [change.value for change in one.history(SCOUT, "a")] == [1]
    assert list(tmp_path.iterdir()) == []
