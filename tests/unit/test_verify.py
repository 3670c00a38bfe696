"""`verify`: nothing to say of a healthy store, and everything that is wrong with one that is not."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")


def lived(path: Path) -> None:
    for opening in range(2):
        with sk.open(path, segment_bytes=65536, keep_log_bytes=None) as state:
            for number in range(600):
                state.set(SCOUT, f"{number % 40}", {"number": number, "opening": opening, "fill": "x" * 100})
            state.checkpoint()
            with state.batch() as batch:
                batch.set(StateScope.GLOBAL, "a", opening)
                batch.set(StateScope.GLOBAL, "b", (2, 3))
            state.delete(SCOUT, "7")


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 16
    file.write_bytes(content)


def test_a_healthy_store_verifies_clean_open_or_not_and_while_it_is_written(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    report = sk.verify(tmp_path / "s")
    assert (report.ok, report.damages) == (True, ())
    assert (report.record_count, report.row_count) == (1206, 84)
    assert report.last_version == 1206
    with sk.open(tmp_path / "s") as state:
        state.set(SCOUT, "new", 1)
        assert state.verify().ok
        assert asyncio.run(state.averify()).last_version == 1207
        assert sk.verify(tmp_path / "s").ok
        with sk.open(tmp_path / "s", read_only=True) as view:
            assert view.verify().ok
    with sk.open("memory:") as state:
        state.set(SCOUT, "a", 1)
        assert state.verify().record_count == 1


def test_each_kind_of_file_is_verified(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    for name in sorted(str(p.relative_to(tmp_path / "s")) for p in (tmp_path / "s").rglob("*") if p.is_file()):
        if name == "LOCK":
            continue
        shutil.copytree(tmp_path / "s", tmp_path / "harmed")
        flip(tmp_path / "harmed" / name, 21)
        report = sk.verify(tmp_path / "harmed")
        assert not report.ok, name
        assert any(damage.file.endswith(name) for damage in report.damages), (name, report.damages)
        shutil.rmtree(tmp_path / "harmed")


def test_a_report_says_where_and_which_versions_and_the_error_of_an_opening_says_what_to_do(tmp_path: Path) -> None:
    lived(tmp_path / "s")
    # Otherwise the second damage is in what the ring still has.
    (tmp_path / "s" / "ring").unlink()
    for file in sorted((tmp_path / "s" / "segments").iterdir())[:2]:
        flip(file, 3000)
    first, second = sk.verify(tmp_path / "s").damages
    assert first.missing_count == second.missing_count == 1
    assert first.length_bytes > 100
    assert f"version {first.last_good_version + 1} is missing" in str(first)
    assert dataclasses.asdict(first)["next_good_version"] == first.last_good_version + 2
    for file in (tmp_path / "s" / "snapshots").iterdir():
        file.unlink()
    with pytest.raises(errors.Corrupted, match=r"spellkeep verify.*spellkeep salvage.*allow_damage=True") as caught:
        sk.open(tmp_path / "s")
    assert caught.value.last_good_version == first.last_good_version


def test_there_must_be_a_store_to_verify(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageFailed, match="there is no store"):
        sk.verify(tmp_path / "nowhere")
