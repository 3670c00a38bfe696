"""A whole state at once: what differs from what is saved, and all of it as plain values."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from spellkeep.agent.conversation import Conversation
from spellkeep.agent.layout import (
    CONTEXT,
    CUSTOM,
    EDIT,
    FIELD,
    GONE,
    MESSAGE,
    METADATA,
    MISSING,
    SHAPE,
    STATUS,
    TOOL,
    named,
    numbered,
)
from spellkeep.agent.saving import Change
from spellkeep.agent.source import Source
from spellkeep.errors import InvalidKey
from spellkeep.handle import ScopeHandle
from spellkeep.value import encode

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent
    from spellkeep.agent.step import StepSource

_MESSAGES = "messages"
_BY_NAME = {"context": CONTEXT, "custom": CUSTOM, "tools": TOOL}
_AT_ONCE = 1024
_WITH_NAMES = (*_BY_NAME.values(), FIELD)
_SINGLE = {"status": STATUS, "metadata": METADATA}


def to_dict(source: Source | StepSource, end: int) -> dict[str, Any]:
    """The whole state: of one that was saved whole its names, in their order, and what was added since."""
    shape: dict[str, str] | None = source.value(SHAPE)
    if shape is not None:
        state = {name: _part(source, end, where) for name, where in shape.items()}
        known = set(shape.values())
        more = {_MESSAGES: _MESSAGES, **_BY_NAME, **_SINGLE}
        for name, where in more.items():
            if where not in known and name not in state and (part := _part(source, end, where)):
                state[name] = part
        return state
    state = {_MESSAGES: _part(source, end, _MESSAGES)}
    state |= {name: _part(source, end, where) for name, where in _BY_NAME.items()}
    return state | {"status": source.value(STATUS, "idle"), "metadata": source.value(METADATA) or {}}


def _part(source: Source | StepSource, end: int, where: str) -> Any:
    if where == _MESSAGES:
        conversation = source.conversation
        return [
            each for start, stop in conversation.runs(end) for each in source.messages(start, stop, conversation.edited)
        ]
    if where.endswith("/"):
        return part_of(source, where)
    return source.value(where)


def part_of(source: Source | StepSource, prefix: str) -> dict[str, Any]:
    """The values whose keys start with `prefix`, by the rest of the key."""
    found = ((name, source.value(prefix + name, MISSING)) for name in source.names(prefix))
    # One that somebody removes meanwhile.
    return {name: value for name, value in found if value is not MISSING}


def change_to(agent: Agent, state: Mapping[str, Any]) -> Change:
    """What makes the agent's state this one."""
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a mapping of names to values, not {type(state).__name__}")
    source, end = agent._moment()
    change = Change()
    shape = dict[str, str]()
    wanted = dict[str, Any]()
    for name, part in state.items():
        shape[name] = where = _where(agent, name, part)
        if where.endswith("/"):
            for each, value in part.items():
                wanted[where + each] = value
        elif where != _MESSAGES:
            wanted[where] = part
    wanted[SHAPE] = shape
    for prefix in _WITH_NAMES:
        for key in _keys(source, prefix):
            if key not in wanted:
                change.put[key] = GONE
    for key in _SINGLE.values():
        if key not in wanted and source.value(key, MISSING) is not MISSING:
            change.put[key] = GONE
    handle = _plain(source)
    for key, value in wanted.items():
        if not (handle is not None and handle._holds(key, value)) and not _holds(source, key, value):
            change.put[key] = value
    messages = state[_MESSAGES] if shape.get(_MESSAGES) == _MESSAGES else []
    _change_messages(change, source, source.conversation, end, messages)
    return change


def _where(agent: Agent, name: Any, part: Any) -> str:
    """The entries that a part of a state goes to."""
    if name == _MESSAGES and type(part) is list:
        return _MESSAGES
    if name in _BY_NAME and type(part) is dict and _are_names(agent, _BY_NAME[name], part):
        return _BY_NAME[name]
    if name == "metadata" and type(part) is dict:
        return METADATA
    if name == "status" and type(part) is str:
        return STATUS
    return named(FIELD, name)


def _are_names(agent: Agent, prefix: str, part: dict[Any, Any]) -> bool:
    # What cannot be a key is kept all the same, with the others as one value: a str of another class as that class.
    try:
        for name in part:
            if type(name) is not str:
                return False
            # Asked for what it raises.
            agent._saver.handle.exists(named(prefix, name))
    except InvalidKey:
        return False
    return True


def _plain(source: Source | StepSource) -> ScopeHandle | None:
    """The handle with all there is; None: there is something else below or above it."""
    return source.handle if isinstance(source, Source) and source.base is None else None


def _keys(source: Source | StepSource, prefix: str) -> list[str]:
    handle = _plain(source)
    return [prefix + name for name in source.names(prefix)] if handle is None else handle.list_keys(prefix)


def _holds(source: Source | StepSource, key: str, value: Any) -> bool:
    found = source.value(key, MISSING)
    return found is not MISSING and _same(found, value)


def _same(stored: Any, wanted: Any) -> bool:
    return encode(stored) == encode(wanted) or _alike(stored, wanted)


def _alike(stored: Any, wanted: Any) -> bool:
    # Equal sets may iterate in any order, and of strings they do so in another process.
    if type(stored) is not type(wanted):
        return False
    if isinstance(stored, set | frozenset):
        return stored == wanted and sorted(map(encode, stored)) == sorted(map(encode, wanted))
    if isinstance(stored, dict):
        return list(stored) == list(wanted) and _alike([*stored.items()], [*wanted.items()])
    if isinstance(stored, list | tuple):
        return len(stored) == len(wanted) and all(map(_alike, stored, wanted))
    return encode(stored) == encode(wanted)


class _Stored:
    """The messages that are saved, to compare with."""

    def __init__(self, source: Source | StepSource, conversation: Conversation, end: int) -> None:
        self.conversation, self.end = conversation, end
        self.count = conversation.count(end)
        self._handle = _plain(source)
        self._values = list[Any]()
        self._edited = list[int]()
        if self._handle is None:
            for start, stop in conversation.runs(end):
                self._values += source.messages(start, stop, conversation.edited)
        elif conversation.edited:
            self._edited += map(int, source.names(EDIT))

    def _pieces(self, index: int) -> Iterator[tuple[int, int, bool]]:
        """The numbers from the `index`-th message on, as ranges, and whether a range is one that was edited."""
        for start, stop in self.conversation.slice(self.end, index, self.count):
            for number in self._edited[bisect_left(self._edited, start) : bisect_left(self._edited, stop)]:
                if start < number:
                    yield start, number, False
                yield number, number + 1, True
                start = number + 1
            if start < stop:
                yield start, stop, False

    def equal(self, index: int, messages: list[Any]) -> int:
        """How many of `messages` are the ones from `index` on."""
        same = 0
        if self._handle is None:
            for stored, message in zip(self._values[index:], messages, strict=False):
                if not _same(stored, message):
                    break
                same += 1
            return same
        for start, stop, edited in self._pieces(index):
            while start < stop:
                piece = messages[same : same + min(stop - start, _AT_ONCE)]
                if edited:
                    found = int(bool(piece) and self._handle._holds(numbered(EDIT, start), piece[0]))
                else:
                    found = self._handle._numbered_equal(MESSAGE, start, piece)
                if found < len(piece) and _alike(
                    self._handle.get(numbered(EDIT if edited else MESSAGE, start + found)), piece[found]
                ):
                    found += 1
                elif found < min(stop - start, _AT_ONCE):
                    return same + found
                same, start = same + found, start + found
        return same

    def find(self, index: int, message: Any) -> int | None:
        """The first one from `index` on that is `message`."""
        if self._handle is None:
            encoded = encode(message)
            return next((at for at in range(index, self.count) if encode(self._values[at]) == encoded), None)
        at = index
        for start, stop, edited in self._pieces(index):
            if not edited:
                if (found := self._handle._numbered_find(MESSAGE, start, stop, message)) is not None:
                    return at + found - start
            elif self._handle._holds(numbered(EDIT, start), message):
                return at
            at += stop - start
        return None


def _change_messages(
    change: Change, source: Source | StepSource, conversation: Conversation, end: int, messages: list[Any]
) -> None:
    stored = _Stored(source, conversation, end)
    count, wanted = stored.count, len(messages)
    same = stored.equal(0, messages)
    if same < min(count, wanted):
        # Most often the oldest ones were dropped, behind a system prompt perhaps.
        kept = stored.find(same + 1, messages[same])
        if kept is not None and stored.equal(kept, messages[same:]) == count - kept:
            change.deleted.extend(conversation.slice(end, same, kept))
            change.appended.extend(messages[same + count - kept :])
            return
        for index in range(same, min(count, wanted)):
            if not stored.equal(index, messages[index : index + 1]):
                change.put[numbered(EDIT, conversation.number(end, index))] = messages[index]
    if wanted < count:
        change.deleted.extend(conversation.slice(end, wanted, count))
    change.appended.extend(messages[count:])
    change.deleted.sort(reverse=True)
