"""Several changes of an agent that are saved as one."""

from __future__ import annotations

from contextvars import Token
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from spellkeep.agent.conversation import Conversation
from spellkeep.agent.layout import CONVERSATION, EDIT, is_gone
from spellkeep.agent.saving import Change, current_step
from spellkeep.agent.source import Source
from spellkeep.changes import Entry
from spellkeep.value import decode, encode

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent


class Step:
    """``with agent.step(): ...``: what is changed in the block is saved at its end, as one, or not at all.

    Inside, the agent reads as if it were saved already; other threads and tasks see none of it before the end. A step
    belongs to the thread or task that entered it, and to the tasks started in it. A block that raises saves nothing.

    Attributes:
        version: what it was saved as, 0 when nothing changed; None before the end.
    """

    version: int | None = None

    def __init__(self, agent: Agent, label: str | None = None) -> None:
        self._agent = agent
        self._label = label
        self._outer: Token[Step | None] | None = None
        self._closed = False
        self.change = Change()

    def __enter__(self) -> Self:
        if self._outer is not None:
            raise RuntimeError("a step is entered once; make another with agent.step()")
        if step_of(self._agent) is not None:
            raise RuntimeError("the agent is in a step already: changes made here belong to it")
        self._end = self._agent._saver.end()
        self._above = current_step.get()
        self._outer = current_step.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (version := self._close(kind)) is not None:
            self.version = self._agent._acknowledged(version)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (version := self._close(kind)) is not None:
            self.version = await self._agent._aacknowledged(version)

    def _close(self, kind: type[BaseException] | None) -> int | None:
        assert self._outer is not None
        current_step.reset(self._outer)
        self._closed = True
        return self._agent._saver.save(self.change, self._label) if kind is None else None

    def source(self) -> StepSource:
        """The agent with what is changed so far."""
        return StepSource(self._agent._saver.source, self._end, self.change)

    def add(self, change: Change) -> None:
        """Take a change into it. Values are copied: later changes to them do not count."""
        mine = self.change
        for start, stop in change.deleted:
            if stop > self._end:
                del mine.appended[max(start - self._end, 0) : stop - self._end]
            if start < self._end:
                mine.deleted.append((start, min(stop, self._end)))
        for key, value in change.put.items():
            number = int(key[len(EDIT) :]) if key.startswith(EDIT) else -1
            value = value if is_gone(value) else decode(encode(value))
            if number >= self._end:
                mine.appended[number - self._end] = value
            else:
                mine.put[key] = value
                mine.fold.pop(key, None)
        for key, functions in change.fold.items():
            mine.fold.setdefault(key, []).extend(functions)
        mine.appended.extend(decode(encode(message)) for message in change.appended)


def step_of(agent: Agent) -> Step | None:
    """The step of this agent that the caller is in."""
    step: Step | None = current_step.get()
    while step is not None and (step._closed or step._agent._saver is not agent._saver):
        step = step._above
    return step


class StepSource:
    """Reads an agent with a change that is not saved yet. As `Source`; what is not saved has version 0."""

    def __init__(self, below: Source, end: int, change: Change) -> None:
        self._below = below
        self._end = end
        self._change = change

    def find(self, key: str) -> Entry | None:
        """What is under a key; None: nothing."""
        change = self._change
        if key not in change.put and key not in change.fold:
            return self._below.find(key)
        value = change.put[key] if key in change.put else self._below.value(key)
        if key in change.fold:
            value = change.folded(key, None if is_gone(value) else value)
        return None if is_gone(value) else self._unsaved(value)

    def _unsaved(self, value: Any) -> Entry:
        return Entry(decode(encode(value)), 0, datetime.now(UTC), None, self._below.handle.state_class)

    def value(self, key: str, default: Any = None) -> Any:
        """The value under a key."""
        found = self.find(key)
        return default if found is None else found.value

    def names(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, in order, without it."""
        names = set(self._below.names(prefix))
        for key in (*self._change.put, *self._change.fold):
            if key.startswith(prefix):
                (names.discard if self.find(key) is None else names.add)(key[len(prefix) :])
        return sorted(names)

    @property
    def conversation(self) -> Conversation:
        """Which messages there are."""
        stored = self._below.value(CONVERSATION)
        conversation = Conversation() if stored is None else Conversation.of(stored)
        for start, stop in self._change.deleted:
            conversation = conversation.without(start, stop)
        if any(key.startswith(EDIT) for key in self._change.put):
            conversation = conversation._replace(edited=True)
        return conversation

    @property
    def end(self) -> int:
        """The number behind the last message."""
        return self._end + len(self._change.appended)

    def message(self, number: int, edited: bool) -> Entry:
        """A message that is there."""
        if number >= self._end:
            return self._unsaved(self._change.appended[number - self._end])
        if edited and (found := self.find(f"{EDIT}{number:010d}")) is not None:
            return found
        return self._below.message(number, False)

    def messages(self, start: int, stop: int, edited: bool) -> list[Any]:
        """The values of a range of messages that are there."""
        values = self._below.messages(start, min(stop, self._end), edited) if start < self._end else []
        if edited:
            for key in self._change.put:
                if key.startswith(EDIT) and start <= int(key[len(EDIT) :]) < stop:
                    values[int(key[len(EDIT) :]) - start] = self.value(key)
        added = self._change.appended[max(start - self._end, 0) : max(stop - self._end, 0)]
        return values + [decode(encode(each)) for each in added]
