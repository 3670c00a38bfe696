"""A signal (Ctrl-C, a time limit) between any two lines of the saver: memory and store stay the same."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import spellkeep
from spellkeep import errors
from spellkeep.adapters import langgraph as adapter

pytest.importorskip("langgraph")

from langchain_core.messages import AIMessage, HumanMessage

from spellkeep.adapters.langgraph import SpellkeepSaver

FOLDER = str(Path(adapter.__file__).parent)
SAID = [HumanMessage("a", id="1"), AIMessage("b", id="2")]


def config(id: str | None = None) -> Any:
    return {"configurable": {"thread_id": "t", "checkpoint_ns": "", **({"checkpoint_id": id} if id else {})}}


def put(saver: SpellkeepSaver, id: str, parent: str | None, messages: list[Any], **more: Any) -> None:
    values = {"messages": messages, **more}
    versions = dict.fromkeys(values, id)
    checkpoint: Any = {
        **{"v": 4, "id": id, "ts": "2026-01-01", "versions_seen": {}},
        **{"channel_values": values, "channel_versions": versions},
    }
    saver.put(config(parent), checkpoint, {}, versions)


def stored(saver: SpellkeepSaver) -> dict[str, Any]:
    """Every checkpoint with its messages, its writes and all else that it has."""
    found = {}
    for each in saver.list(config()):
        values = dict(each.checkpoint["channel_values"])
        texts = [message.content[:3] for message in values.pop("messages")]
        writes = [(task, channel, value.content[:3]) for task, channel, value in each.pending_writes or ()]
        found[each.config["configurable"]["checkpoint_id"]] = texts, values, writes
    return found


class Interrupted:
    """Raises KeyboardInterrupt at the line of that number, of those of the adapter that are run; counts them all."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __enter__(self) -> Interrupted:
        self.former = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *failure: object) -> bool:
        sys.settrace(self.former)
        return failure[0] is KeyboardInterrupt

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(FOLDER) else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._line


def more(saver: SpellkeepSaver) -> None:
    put(saver, "id 2", "id 1", [*SAID, HumanMessage("never" * 40, id="3"), AIMessage("x" * 200, id="9")], new=2)


def writes(saver: SpellkeepSaver) -> None:
    saver.put_writes(config("id 1"), [("messages", AIMessage("never" * 50, id="3"))], "task")


def delete(saver: SpellkeepSaver) -> None:
    saver.delete_thread("t")


def prune(saver: SpellkeepSaver) -> None:
    saver.prune(["t"])


@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("call", [more, writes, delete, prune])
def test_memory_and_store_stay_the_same(call: Callable[[SpellkeepSaver], None], looks: bool) -> None:
    """With a look at everything right behind the signal, or without: the next put then has what that left in memory."""
    for at in itertools.count(1):
        with spellkeep.open("memory:") as state:
            saver = SpellkeepSaver(state)
            put(saver, "id 0", None, SAID[:1])
            put(saver, "id 1", "id 0", SAID)
            before = stored(saver)
            with Interrupted(at) as reached:
                call(saver)
            if reached.count < at:
                assert at > 30
                return
            there = stored(saver) if looks else {}
            whole = {
                **before,
                "id 2": (["a", "b", "nev", "xxx"], {"new": 2}, []),
                "id 1": (["a", "b"], {}, [("task", "messages", "nev")] if call is writes else []),
            }
            assert all(there[id] == whole[id] or there[id] == before.get(id) for id in there), at
            if looks:
                saver._checkpoints.core.forget_all()
                assert stored(saver) == there, at
            try:
                put(saver, "id 3", "id 1", [*SAID, *(HumanMessage(text * 200, id=text) for text in "cde")], other=3)
            except errors.Conflict as refused:
                assert (call, refused.code) == (delete, "langgraph.thread_deleted")
                continue
            put(saver, "id 4", "id 3", [SAID[0], *(HumanMessage(text * 200, id=text) for text in "cde")], other=3)
            then = stored(saver)
            assert then["id 3"] == (["a", "b", "ccc", "ddd", "eee"], {"other": 3}, []), at
            assert then["id 4"] == (["a", "ccc", "ddd", "eee"], {"other": 3}, []), at
            assert {id: then[id] for id in there} == there, at
            saver._checkpoints.core.forget_all()
            assert stored(saver) == then, at
