"""Agents that several threads change at once: what each call reads and writes fits together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager
from spellkeep.agent import Agent


@pytest.fixture
def state() -> Iterator[StateManager]:
    """An open store."""
    with sk.open("memory:") as opened:
        yield opened


@pytest.fixture
def scout(state: StateManager) -> Agent:
    """An agent with five messages."""
    agent = state.agent("scout")
    agent.messages.extend(said(range(5)))
    return agent


def said(contents: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content} for content in contents]


def contents(agent: Agent) -> list[Any]:
    return [message.content for message in agent.messages]


def elsewhere(call: Callable[[], Any], timeout_s: float | None = None) -> threading.Thread:
    """Make a call in another thread; wait for its end, or for so long."""
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(timeout_s)
    return thread


class Meanwhile:
    """A value while whose encoding another thread makes a call, once."""

    call: Callable[[], Any] | None = None
    thread: threading.Thread

    @classmethod
    def encode(cls, _: Any) -> int:
        if (call := cls.call) is not None:
            cls.call = None
            cls.thread = elsewhere(call, 0.2)
        return 1


sk.register(Meanwhile, tag="test.Meanwhile", encode=Meanwhile.encode, decode=lambda payload, _: payload)


def test_an_interrupted_look_is_made_again(scout: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    # A Ctrl-C while the end was looked for left a number of steps that was never read.
    handle = scout._saver.handle
    scout._saver.forget()

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            return getattr(handle, name)

        def _numbered_end(self, prefix: str, start: int) -> int:
            if prefix == "step/":
                raise KeyboardInterrupt
            return handle._numbered_end(prefix, start)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(scout._saver, "handle", Interrupted())
        scout.messages.add("user", 5)
    with scout.step():
        scout.messages.add("user", 5)
        scout.context["n"] = 1
    assert contents(scout) == [0, 1, 2, 3, 4, 5]
    assert handle.list_keys("step/") == ["step/0000000000", "step/0000000001"]
