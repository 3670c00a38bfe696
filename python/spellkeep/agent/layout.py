"""Where the parts of an agent are: ordinary entries of its scope.

agent                              {"schema": 1}, of a fork with "base": {"agent", "version", "end"}
message/0000000012                 a message; never changed afterwards
edit/0000000012                    what was put in its place
conversation                       {"first", "gone": [[from, to], ...], "edited"}; absent: all messages, from 0 on
context/NAME custom/NAME tool/NAME a variable, a piece of custom data, the figures of a tool
field/NAME                         any other part of a state that was saved whole
status metadata                    execution state; name, type, version, capabilities, provider, tags
shape                              names of a state that was saved whole, in their order, with the part each went to
past/KEY/VERSION.TIME              what was under KEY from VERSION on, until the record of this entry
step/0000000003                    {"records", "label"}: so many records up to this one are one save
tag/NAME fork/ID                   {"version", "end"}: a version with a name, one that a fork builds on
retention                          {"keep_last", "keep_days", "horizon", "steps_from"}: how much is kept
"""

from __future__ import annotations

from typing import Any, NamedTuple

from spellkeep.errors import InvalidKey
from spellkeep.value import Tagged

SCHEMA = 1
AGENT = "agent"
MESSAGE = "message/"
EDIT = "edit/"
CONVERSATION = "conversation"
CONTEXT = "context/"
CUSTOM = "custom/"
TOOL = "tool/"
FIELD = "field/"
STATUS = "status"
METADATA = "metadata"
SHAPE = "shape"
PAST = "past/"
STEP = "step/"
TAG = "tag/"
FORK = "fork/"
RETENTION = "retention"

# About the past of an agent, not part of its state.
_AROUND = (PAST, STEP, TAG, FORK, RETENTION)

MISSING = object()
GONE = Tagged("spellkeep.gone", 1, None)
"""Stands in a fork for an entry that its base still has."""

NAME_BYTES_MAX = 200
"""Longest name of a variable, tool, tag or fork: its past must find room in a key too."""


def is_gone(value: Any) -> bool:
    """Whether it is the mark `GONE`."""
    return type(value) is Tagged and value.tag == GONE.tag


def is_agent(stored: Any) -> bool:
    """Whether an entry `AGENT` is one that this version understands."""
    return isinstance(stored, dict) and stored.get("schema") == SCHEMA


def named(prefix: str, name: str) -> str:
    """The key of a name.

    Raises: InvalidKey (key.too_long) above 200 bytes. What else a key may not be, the store refuses.
    """
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {type(name).__name__}")
    if not name:
        raise InvalidKey("a name has at least one character", code="key.empty")
    if len(name) * 4 > NAME_BYTES_MAX and len(name.encode(errors="replace")) > NAME_BYTES_MAX:
        raise InvalidKey(f"the name is longer than {NAME_BYTES_MAX} bytes: {name[:40]!r}...", code="key.too_long")
    return prefix + name


def numbered(prefix: str, number: int) -> str:
    """The key of a number; in the order of the numbers."""
    return f"{prefix}{number:010d}"


def is_state(key: str) -> bool:
    """Whether an entry is part of the agent's state."""
    return not key.startswith(_AROUND)


class Past(NamedTuple):
    """What a key ``past/...`` says: `key` held its value from `version` on, written at `time_us`."""

    key: str
    version: int
    time_us: int


def past_key(key: str, version: int, time_us: int) -> str:
    """Where the value goes that was under `key` since `version`. `ScopeHandle._replace` makes the same name."""
    return f"{PAST}{key}/{version:012x}.{time_us:014x}"


def past_of(held: str) -> Past:
    """The other way round."""
    return Past(held[len(PAST) : -28], int(held[-27:-15], 16), int(held[-14:], 16))
