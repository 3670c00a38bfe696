"""Stores as earlier versions of the format wrote them are read as ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import spellkeep as sk
from spellkeep import StateScope

GOLDEN = Path(__file__).parent.parent / "golden"
SCOUT = StateScope.agent("scout")


def test_a_store_from_before_there_were_footers_is_read_and_written(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "value_01", tmp_path / "s")
    chat = {f"field{number}": number for number in range(20)}
    messages = [{"id": number, "content": f"message {number}"} for number in range(100)]
    with sk.open(tmp_path / "s", ring_bytes=65536, segment_bytes=65536) as state:
        assert state.recovery.clean
        assert state.get(SCOUT, "plan") == {"step": 1}
        assert state.get(SCOUT, "chat") == chat | {"messages": messages}
        assert state.get(SCOUT, "odd") == {1: ("a", b"b"), (2, 3): [1.5] * 200}
        assert [change.value for change in state.history(SCOUT, "plan")] == [{"step": 1}]
        state.set(SCOUT, "again", state.get(SCOUT, "chat"))
        assert state.get(SCOUT, "again") == state.get(SCOUT, "chat")
