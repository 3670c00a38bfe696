"""`allow_damage` and `salvage`: everything that is whole of a damaged store."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateScope, errors

SCOUT = StateScope.agent("scout")


def damaged(path: Path) -> int:
    """Leaves a store with one bad record; gives its version."""
    with sk.open(path, segment_bytes=65536) as state:
        for number in range(900):
            state.set(SCOUT, f"{number % 40}", {"number": number, "fill": "x" * 100})
        with state.batch() as batch:
            batch.set(StateScope.GLOBAL, "a", 1)
            batch.set(StateScope.GLOBAL, "b", (2, 3))
        state.delete(SCOUT, "7")
    (path / "ring").unlink()
    segment = min((path / "segments").iterdir())
    content = bytearray(segment.read_bytes())
    content[3000] ^= 1
    segment.write_bytes(content)
    with pytest.raises(errors.Corrupted) as caught:
        sk.open(path)
    assert caught.value.last_good_version is not None
    return caught.value.last_good_version + 1


def test_a_damaged_store_is_opened_with_everything_that_is_whole(tmp_path: Path) -> None:
    lost = damaged(tmp_path / "s")
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "s").rglob("*") if p.is_file()}
    with pytest.raises(errors.Corrupted):
        sk.open(tmp_path / "s", read_only=True)
    with sk.open(tmp_path / "s", read_only=True, allow_damage=True) as state:
        (damage,) = state.damages
        assert (damage.last_good_version, damage.next_good_version) == (lost - 1, lost + 1)
        assert [change.version for change in state.changes()] == [v for v in range(1, 904) if v != lost]
        assert state.get(SCOUT, "8")["number"] == 888
        assert state.entry(StateScope.GLOBAL, "b").version == 902
        assert state.history(SCOUT, "7")[0].operation == "delete"
        assert not state.verify().ok
        with pytest.raises(errors.ReadOnly):
            state.set(SCOUT, "a", 1)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "s").rglob("*") if p.is_file()} == before


def test_a_healthy_store_has_no_damages(tmp_path: Path) -> None:
    sk.open(tmp_path / "s").close()
    with sk.open(tmp_path / "s", read_only=True, allow_damage=True) as state:
        assert state.damages == ()


def test_damage_is_only_allowed_for_looking(tmp_path: Path) -> None:
    with pytest.raises(errors.LimitExceeded, match="needs read_only=True"):
        sk.open(tmp_path / "s", allow_damage=True)
    assert not (tmp_path / "s").exists()


def test_a_salvaged_store_has_what_is_whole_in_order_with_its_times_and_verifies_clean(tmp_path: Path) -> None:
    lost = damaged(tmp_path / "s")
    with sk.open(tmp_path / "s", read_only=True, allow_damage=True) as state:
        whole = [(c.at, c.operation, c.key) for c in state.changes()]
    report = sk.salvage(tmp_path / "s", tmp_path / "new")
    assert (report.record_count, report.row_count, report.key_count) == (902, 0, 41)
    assert (report.last_version, report.new_last_version) == (903, 902)
    assert report.damages[0].last_good_version == lost - 1
    assert sk.verify(tmp_path / "new").ok
    with sk.open(tmp_path / "new") as state:
        assert [(c.at, c.operation, c.key) for c in state.changes()] == whole
        assert state.get(StateScope.GLOBAL, "b") == (2, 3)
        state.set(SCOUT, "goes", "on")


def test_a_salvage_writes_into_nothing_that_holds_something(tmp_path: Path) -> None:
    damaged(tmp_path / "s")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    with pytest.raises(errors.StorageFailed) as caught:
        sk.salvage(tmp_path / "s", tmp_path / "full")
    assert caught.value.code == "storage.not_empty"
    with pytest.raises(errors.StorageFailed) as caught:
        sk.salvage(tmp_path / "nowhere", tmp_path / "new")
    assert caught.value.code == "store.missing"
    assert not (tmp_path / "new").exists()
