"""The conversation of an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from spellkeep.agent.conversation import Conversation
from spellkeep.agent.layout import EDIT, numbered
from spellkeep.agent.saving import Change, current_step
from spellkeep.agent.showing import safely
from spellkeep.changes import Entry

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent, AgentView
    from spellkeep.agent.source import Source
    from spellkeep.agent.step import StepSource

_AT_ONCE = 1024


class Message(Mapping[str, Any]):
    """A message: the mapping that was saved, with its usual fields as attributes. Changing it does not save it."""

    __slots__ = ("_edited", "_entry", "_number", "_source", "data")

    def __init__(self, data: Any, number: int, source: Source | StepSource, edited: bool) -> None:
        self.data = data
        self._number = number
        self._source = source
        self._edited = edited
        self._entry: Entry | None = None

    def _fields(self) -> Mapping[str, Any]:
        # A state that was saved whole may have anything for a message.
        return self.data if isinstance(self.data, Mapping) else {"content": self.data}

    @property
    def role(self) -> str | None:
        """Who said it: ``"user"``, ``"assistant"``, ``"system"``, ``"tool"``, ..."""
        return self._fields().get("role")

    @property
    def content(self) -> Any:
        """What was said: a text, or parts."""
        return self._fields().get("content")

    @property
    def tool_calls(self) -> list[Any]:
        """The calls that it asks for."""
        return self._fields().get("tool_calls") or []

    @property
    def metadata(self) -> dict[str, Any]:
        """What else is known of it."""
        return self._fields().get("metadata") or {}

    def _stamp(self) -> Entry:
        if self._entry is None:
            self._entry = self._source.message(self._number, self._edited)
        return self._entry

    @property
    def at(self) -> datetime:
        """When it was said: its own field ``at``, or when it was saved, in UTC."""
        said = self._fields().get("at")
        return said if isinstance(said, datetime) else self._stamp().updated_at

    @property
    def version(self) -> int:
        """The version of the record that holds it; 0 in a step that is not saved yet."""
        return self._stamp().version

    def __getitem__(self, key: str) -> Any:
        return self._fields()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields())

    def __len__(self) -> int:
        return len(self._fields())

    def __repr__(self) -> str:
        text = repr(self.content)
        return f"<Message {self.role}: {text if len(text) <= 60 else text[:57] + '...'}>"


class MessagesView(Sequence[Message]):
    """A conversation to read: by index and slice (new lists), in order, and by `search`.

    Cost: what is asked for, however long it is.
    """

    def __init__(self, agent: AgentView) -> None:
        self._agent = agent

    def _moment(self) -> tuple[Source | StepSource, Conversation, int]:
        return self._agent._conversation()

    def __len__(self) -> int:
        _, conversation, end = self._moment()
        return conversation.count(end)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: Any) -> Any:
        source, conversation, end = self._moment()
        count = conversation.count(end)
        if isinstance(index, slice):
            chosen = range(count)[index]
            if not chosen:
                return []
            low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
            found = list(_messages(source, conversation, conversation.slice(end, low, high)))
            return [found[each - low] for each in chosen]
        number = conversation.number(end, _position(index, count))
        entry = source.message(number, conversation.edited)
        message = Message(entry.value, number, source, conversation.edited)
        message._entry = entry
        return message

    def __iter__(self) -> Iterator[Message]:
        source, conversation, end = self._moment()
        return _messages(source, conversation, conversation.runs(end))

    def __reversed__(self) -> Iterator[Message]:
        source, conversation, end = self._moment()
        for start, stop in reversed([*conversation.runs(end)]):
            for high in range(stop, start, -_AT_ONCE):
                chunk = [(max(high - _AT_ONCE, start), high)]
                yield from reversed([*_messages(source, conversation, chunk)])

    def to_list(self) -> list[Any]:
        """All of them as they were saved: plain values."""
        source, conversation, end = self._moment()
        return [
            each for start, stop in conversation.runs(end) for each in source.messages(start, stop, conversation.edited)
        ]

    def search(
        self,
        *,
        role: str | None = None,
        text: str | None = None,
        where: Callable[[Message], bool] | None = None,
        limit: int | None = None,
    ) -> list[Message]:
        """The messages of one role, with a text in their content, for which `where` holds; the first `limit` of them.

        Cost: a walk over the conversation.
        """
        found = list[Message]()
        for message in self:
            if limit is not None and len(found) >= limit:
                break
            if (
                (role is None or message.role == role)
                and (text is None or _contains(message.content, text))
                and (where is None or where(message))
            ):
                found.append(message)
        return found

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MessagesView):
            return self.to_list() == other.to_list()
        return isinstance(other, list) and self.to_list() == other

    __hash__ = None  # type: ignore[assignment]

    @safely
    def __repr__(self) -> str:
        count = len(self)
        return f"<{type(self).__name__} of {self._agent.id!r}, {count} {'message' if count == 1 else 'messages'}>"


class Messages(MessagesView):
    """A conversation to read and to go on with. Every change is one save: one record, or one batch.

    ``append``, ``add``, ``extend``; ``messages[i] = ...`` and ``edit`` keep what was there in the history of the agent,
    and so do ``del messages[i]``, ``del messages[i:j]`` and ``clear``.
    """

    _agent: Any

    def __init__(self, agent: Agent) -> None:
        super().__init__(agent)
        # The way of most saves, in as few calls as there can be.
        self._append = agent._saver.append
        self._waits = agent._saver.waits

    def append(self, message: Mapping[str, Any]) -> int:
        """Save a message, a mapping with at least ``role``; return the version.

        Raises: NotSerializable, LimitExceeded (value.*); StorageFailed, Poisoned; ReadOnly; Closed, Forked.
        Cost: one record, whatever the length of the conversation.
        """
        if type(message) is not dict or "role" not in message:
            message = _plain(message)
        if current_step.get() is None:
            version: int = self._append(message)
            return self._agent._acknowledged(version) if self._waits else version
        change = Change()
        change.appended.append(message)
        version = self._agent._save(change)
        return version

    def add(self, role: str, content: Any = None, /, **fields: Any) -> int:
        """Save a message of these fields; return the version. Usual: tool_calls, tool_call_id, name, at, metadata."""
        return self.append({"role": role, "content": content, **fields})

    def extend(self, messages: Iterable[Mapping[str, Any]]) -> int:
        """Save several messages as one; return the version, 0 when there are none."""
        change = Change()
        change.appended.extend(_plain(message) for message in messages)
        version: int = self._agent._save(change)
        return version

    def edit(self, index: SupportsIndex, /, **fields: Any) -> int:
        """Replace some fields of a message; return the version."""
        return self._replace(index, lambda: {**self[index], **fields})

    def __setitem__(self, index: SupportsIndex, message: Mapping[str, Any]) -> None:
        self._replace(index, lambda: _plain(message))

    def _replace(self, index: SupportsIndex, message: Callable[[], dict[str, Any]]) -> int:
        def replaced() -> Change:
            _, conversation, end = self._moment()
            number = conversation.number(end, _position(index, conversation.count(end)))
            change = Change()
            change.put[numbered(EDIT, number)] = message()
            return change

        version: int = self._agent._save_seen(replaced)
        return version

    def delete(self, index: SupportsIndex | slice) -> int:
        """Remove one message, or a slice; return the version, 0 when there was nothing to remove."""
        version: int = self._agent._save_seen(lambda: self._without(index))
        return version

    def _without(self, index: SupportsIndex | slice) -> Change:
        _, conversation, end = self._moment()
        count = conversation.count(end)
        if isinstance(index, slice):
            chosen = range(count)[index]
        else:
            at = _position(index, count)
            chosen = range(at, at + 1)
        change = Change()
        if not chosen:
            return change
        if abs(chosen.step) == 1:
            low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1
            change.deleted.extend(conversation.slice(end, low, high))
        else:
            # The last first: in a step, what is not saved yet moves up.
            for each in sorted(chosen, reverse=True):
                change.deleted.extend(conversation.slice(end, each, each + 1))
        change.deleted.sort(reverse=True)
        return change

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        self.delete(index)

    def clear(self) -> int:
        """Remove all; return the version, 0 when there were none."""
        return self.delete(slice(None))

    async def aappend(self, message: Mapping[str, Any]) -> int:
        """As ``append``, without blocking the event loop."""
        change = Change()
        change.appended.append(_plain(message))
        version: int = await self._agent._asave(change)
        return version

    async def aadd(self, role: str, content: Any = None, /, **fields: Any) -> int:
        """As ``add``, without blocking the event loop."""
        return await self.aappend({"role": role, "content": content, **fields})

    async def aextend(self, messages: Iterable[Mapping[str, Any]]) -> int:
        """As ``extend``, without blocking the event loop."""
        change = Change()
        change.appended.extend(_plain(message) for message in messages)
        version: int = await self._agent._asave(change)
        return version


def _plain(message: Any) -> dict[str, Any]:
    if isinstance(message, Message):
        message = message.data
    if not isinstance(message, Mapping):
        raise TypeError(f"a message is a mapping, not {type(message).__name__}: messages.add(role, content) makes one")
    if "role" not in message:
        raise ValueError("a message has a role: {'role': 'user', 'content': ...}")
    return dict(message)


def _messages(
    source: Source | StepSource, conversation: Conversation, runs: Iterable[tuple[int, int]]
) -> Iterator[Message]:
    edited = conversation.edited
    for start, stop in runs:
        for low in range(start, stop, _AT_ONCE):
            high = min(low + _AT_ONCE, stop)
            for number, value in enumerate(source.messages(low, high, edited), low):
                yield Message(value, number, source, edited)


def _position(index: SupportsIndex, count: int) -> int:
    at = index.__index__()
    if not -count <= at < count:
        raise IndexError(f"message {at} of {count}")
    return at % count


def _contains(content: Any, text: str) -> bool:
    if isinstance(content, str):
        return text in content
    if isinstance(content, Mapping):
        return any(_contains(each, text) for each in content.values())
    return isinstance(content, list | tuple) and any(_contains(each, text) for each in content)
