"""What is stored under a key, and what was committed: entries and changes."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from spellkeep._core import Change, Changes

__all__ = ["Change", "Changes", "Entry", "Operation", "StateClass"]

Operation: TypeAlias = Literal["set", "delete", "clear", "expire", "event"]
"""What a change did."""

# The compiled core reads it too.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StateClass(enum.Enum):
    """How a value is treated. Stored with the entry."""

    TRUSTED = 1
    """From the program itself: only depth and total size are limited."""
    STANDARD = 2
    """The default: all limits."""
    SENSITIVE = 3
    """A secret: sealed with the store's ``sealing_keys`` before anything of it is written, and not shown in what hooks
    keep, in timelines, exports or on the command line."""
    EXTERNAL = 4
    """From outside of the program, such as a web page: stricter limits, and what looks like a secret is replaced by
    ``[redacted]`` before it is stored. Bytes and arrays are not looked into."""


def time_from_us(time_us: int) -> datetime:
    """The moment that lies `time_us` microseconds after the Unix epoch, in UTC."""
    return _EPOCH + timedelta(microseconds=time_us)


# The compiled core makes these, going by the order of the fields.
class Entry(NamedTuple):
    """A stored value and what is known of it.

    Attributes:
        value: the value.
        version: what ``if_version`` compares with.
        updated_at: when it was written, in UTC, by the clock of the writer's machine.
        expires_at: from when on it is not there, in UTC; None: it stays.
        state_class: how it is treated.
    """

    value: Any
    version: int
    updated_at: datetime
    expires_at: datetime | None
    state_class: StateClass
