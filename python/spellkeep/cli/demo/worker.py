"""The process that is killed: ``python -m spellkeep.cli.demo.worker STORE INPUT DURABILITY MESSAGES_MAX ACK_FD``.

Agents take turns, a message each. Where an agent goes on is read from the store, from nowhere else. Each write is
acknowledged through the pipe as soon as it returned. After MESSAGES_MAX messages it waits for its end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import spellkeep
from spellkeep import StateScope
from spellkeep.cli.conversations import BadLine, message_key, read_lines
from spellkeep.cli.demo.ack import READY, Ack, digest

__all__ = ["main", "replay"]


def _conversations(path: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with open(path, "rb") as file:
        for line in read_lines(file):
            if isinstance(line, BadLine):
                raise SystemExit(f"{path}:{line.line}: {line.code}: the line {line.detail}")
            yield line.conversation_id, line.messages


def replay(
    state: spellkeep.StateManager, conversations: list[tuple[str, list[dict[str, Any]]]], ack_fd: int, messages_max: int
) -> None:
    """Bring every agent to the end of its conversation, or write ``messages_max`` messages and wait to be killed."""
    from time import perf_counter_ns

    agents = []
    for number, (conversation_id, messages) in enumerate(conversations):
        handle = state.scope(StateScope.agent(conversation_id))
        agents.append((number, handle, messages, len(handle)))
    os.write(ack_fd, READY.pack())
    written = 0
    for index in range(max((len(messages) for _, messages in conversations), default=0)):
        for number, handle, messages, done in agents:
            if not done <= index < len(messages):
                continue
            if written == messages_max:
                # Nothing ever comes, but the end of a parent that was itself killed.
                os.read(0, 1)
                raise SystemExit("the parent has ended")
            message = messages[index]
            key, mark = message_key(index), digest(message)
            begun = perf_counter_ns()
            version = handle.set(key, message)
            took = perf_counter_ns() - begun
            os.write(ack_fd, Ack(number, index, version, took, mark).pack())
            written += 1


def main(arguments: list[str]) -> None:
    """Open the store and replay."""
    store, path, durability, messages_max, ack_fd = arguments
    conversations = list(_conversations(path))
    with spellkeep.open(store, durability=durability) as state:  # type: ignore[arg-type]
        replay(state, conversations, int(ack_fd), int(messages_max))


if __name__ == "__main__":
    main(sys.argv[1:])
