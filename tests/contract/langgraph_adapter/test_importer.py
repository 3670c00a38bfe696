"""Taking over a file of LangGraph's SQLite saver."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Interrupt, Send

import spellkeep
from contract.langgraph_adapter.graphs import chat, config, say
from spellkeep.adapters.langgraph import SpellkeepSaver, import_sqlite
from spellkeep.errors import NotSerializable
from spellkeep.value import encode


@dataclasses.dataclass
class Plan:
    goal: str


@dataclasses.dataclass
class Other:
    goal: str


VALUES: dict[str, Any] = {
    "messages": [HumanMessage("q", id="1"), AIMessage("a", id=str(uuid.uuid4()), response_metadata={"m": [1]})],
    "send": [Send("node", {"x": HumanMessage("s")})],
    "when": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "much": decimal.Decimal("1.20"),
    "id": uuid.UUID(int=7),
    "set": {1, 2},
    "interrupt": Interrupt("why", id="i"),
    "plan": Plan("win"),
    "bytes": b"\x00\xff",
}


def filled(path: Path) -> Path:
    file = path / "old.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as old:
        graph = chat(old)
        for thread in ("a", "b"):
            for turn in range(3):
                say(graph, f"question {turn} of {thread}", thread)
        checkpoint: Any = {**empty_checkpoint(), "channel_values": VALUES, "channel_versions": dict.fromkeys(VALUES, 1)}
        stored = old.put(config("types", checkpoint_ns=""), checkpoint, {"step": 0, "source": "loop"}, {})
        old.put_writes(stored, [("messages", [HumanMessage("w")]), ("__error__", "late")], str(uuid.uuid4()), "path")
    return file


def test_all_of_a_file_is_there_afterwards(tmp_path: Path) -> None:
    file = filled(tmp_path)
    seen: list[tuple[int, int]] = []
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state"), types=[Plan]) as saver:
        report = import_sqlite(file, saver, types=[Plan], progress=lambda done, total: seen.append((done, total)))
        assert (report.thread_count, report.checkpoint_count, report.unread, dict(report.unknown)) == (3, 19, [], {})
        assert seen == [(done, 19) for done in range(1, 20)]
        with SqliteSaver.from_conn_string(str(file)) as old:
            for thread in ("a", "b", "types"):
                theirs, ours = list(old.list(config(thread))), list(saver.list(config(thread)))
                assert [found.config for found in ours] == [found.config for found in theirs]
                for mine, other in zip(ours, theirs, strict=True):
                    assert mine.checkpoint == other.checkpoint
                    assert (mine.metadata, mine.parent_config) == (other.metadata, other.parent_config)
                    assert mine.pending_writes == other.pending_writes
        assert say(chat(saver), "and on", "a")[-2:] == ["and on", "answer 7"]
        again = import_sqlite(file, saver, types=[Plan])
        assert (again.checkpoint_count, again.present_count) == (0, 19)


@dataclasses.dataclass
class Meanwhile:
    goal: str


def test_classes_are_known_only_while_the_import_runs(tmp_path: Path) -> None:
    plan = Meanwhile("win")
    file = tmp_path / "old.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as old:
        values = {"plan": plan, "plans": [plan]}
        checkpoint: Any = {**empty_checkpoint(), "channel_values": values, "channel_versions": dict.fromkeys(values, 1)}
        old.put(config("types", checkpoint_ns=""), checkpoint, {"step": 0, "source": "loop"}, {})
    inert = spellkeep.Tagged(f"{Meanwhile.__module__}:Meanwhile", 1, {"goal": "win"})
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        report = import_sqlite(file, saver, types=[Meanwhile])
        assert (report.unread, dict(report.unknown)) == ([], {})
        with pytest.raises(NotSerializable):
            encode(plan)
        found = saver.get_tuple(config("types"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"plan": inert, "plans": [inert]}
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state"), types=[Meanwhile]) as saver:
        found = saver.get_tuple(config("types"))
        assert found is not None and found.checkpoint["channel_values"] == values


def test_a_class_that_is_not_named_is_kept_inert_and_reported(tmp_path: Path) -> None:
    file = filled(tmp_path)
    name = f"{Other.__module__}:Other"
    with sqlite3.connect(file) as connection:
        # As if the class were one that this process does not know.
        rows = connection.execute("SELECT checkpoint FROM checkpoints WHERE thread_id = 'types'").fetchall()
        (blob,) = rows[0]
        connection.execute(
            "UPDATE checkpoints SET checkpoint = ? WHERE thread_id = 'types'", (blob.replace(b"\xa4Plan", b"\xa4Nalp"),)
        )
    connection.close()
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        report = import_sqlite(file, saver)
        name = f"{Plan.__module__}:Nalp"
        assert dict(report.unknown) == {name: 1} and report.unread == []
        found = saver.get_tuple(config("types"))
        assert found is not None
        assert found.checkpoint["channel_values"]["plan"] == spellkeep.Tagged(name, 1, {"goal": "win"})


def test_what_cannot_be_read_is_reported_and_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    file = filled(tmp_path)
    trap = b"cos\nsystem\n(S'touch " + str(tmp_path / "trapped").encode() + b"'\ntR."
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE checkpoints SET type = 'pickle', checkpoint = ? WHERE thread_id = 'types'", (trap,))
        connection.execute("UPDATE writes SET type = 'pickle', value = ? WHERE thread_id = 'a' AND idx = 0", (trap,))
    connection.close()
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        report = import_sqlite(file, saver, types=[Plan])
        assert report.checkpoint_count == 18
        assert len(report.unread) == 7 and all("pickle" in each for each in report.unread)
        assert not (tmp_path / "trapped").exists()


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing of the kind, but long enough to be looked at")
    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        with pytest.raises(ValueError, match="SqliteSaver"):
            import_sqlite(tmp_path / "x", saver)
        with pytest.raises(FileNotFoundError):
            import_sqlite(tmp_path / "missing", saver)


def test_the_command_prints_the_report(tmp_path: Path) -> None:
    file = filled(tmp_path)
    command = [sys.executable, "-m", "spellkeep.adapters.langgraph", str(file), str(tmp_path / "state")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "19 checkpoints" in done.stdout and "kept inert: 1 of" in done.stdout
