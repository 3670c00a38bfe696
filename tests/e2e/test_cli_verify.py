"""spellkeep verify and salvage."""

from __future__ import annotations

from pathlib import Path

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope


def test_a_healthy_store_is_exit_code_0(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "k", 1)
        while_open = spellkeep("verify", store)
        assert (while_open.code, while_open.err) == (0, "")
    assert "1 record, 0 snapshot rows, up to version 1: no damage" in spellkeep("verify").out
    assert spellkeep("verify", "--json").json["ok"] is True


def test_a_damaged_store_is_exit_code_1_with_each_damage_on_a_line(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        for number in range(10):
            state.set(StateScope.GLOBAL, "k", number)
    (store / "ring").unlink()
    (segment,) = (store / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[64 + 200] ^= 1
    segment.write_bytes(content)
    told = spellkeep("verify")
    assert told.code == 1
    assert f"{segment}: a record whose checksum does not hold" in told.out
    assert "is missing" in told.out
    document = spellkeep("verify", store, "--json")
    assert document.code == 1
    (damage,) = document.json["damages"]
    assert damage["next_good_version"] == damage["last_good_version"] + 2


def test_where_there_is_no_store_nothing_is_verified(spellkeep: Spellkeep, tmp_path: Path) -> None:
    assert spellkeep("verify", tmp_path / "nowhere").error == "store.missing"


def test_salvage_writes_a_new_store_and_says_what_is_missing(spellkeep: Spellkeep, store: Path, tmp_path: Path) -> None:
    with sk.open(store) as state:
        for number in range(10):
            state.set(StateScope.GLOBAL, "k", number)
    (store / "ring").unlink()
    (segment,) = (store / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[64 + 200] ^= 1
    segment.write_bytes(content)
    told = spellkeep("salvage", store, tmp_path / "new")
    assert told.code == 0
    assert "9 records and 0 snapshot rows, 1 key, 1 damage" in told.out
    assert "is missing" in told.out
    assert spellkeep("verify", tmp_path / "new").code == 0
    assert spellkeep("salvage", store, tmp_path / "other", "--json").json["new_last_version"] == 9
    assert spellkeep("salvage", store, tmp_path / "new").error == "storage.not_empty"
    assert spellkeep("salvage", tmp_path / "nowhere", tmp_path / "x").error == "store.missing"
