"""What is stored under a key, and what was committed: entries and changes."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias

from spellkeep import _core
from spellkeep.scope import StateScope

__all__ = ["Change", "Changes", "Entry", "Operation", "StateClass"]

Operation: TypeAlias = Literal["set", "delete", "clear", "expire"]
"""What a change did."""

# The compiled core reads it too.
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE = 256


class StateClass(enum.Enum):
    """How a value is treated. Stored with the entry."""

    TRUSTED = 1
    """From the program itself: only depth and total size are limited."""
    STANDARD = 2
    """The default: all limits."""


def time_from_us(time_us: int) -> datetime:
    """The moment that lies `time_us` microseconds after the Unix epoch, in UTC."""
    return _EPOCH + timedelta(microseconds=time_us)


def _expiry_from_us(expires_us: int | None) -> datetime | None:
    return None if expires_us is None else time_from_us(expires_us)


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


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change.

    Attributes:
        version: its version; strictly increasing over all scopes.
        at: when it was written, in UTC, by the clock of the writer's machine.
        operation: ``"set"``, ``"delete"``, ``"clear"`` (of the whole scope) or ``"expire"``: a delete because the time
            was over, written in the background some time after.
        scope: where.
        key: which key; None for a clear.
        state_class: class of the value.
        in_batch: whether the next version belongs to the same batch.
        expires_at: from when on the value is not there, in UTC; None: it stays, or nothing was set.
    """

    version: int
    at: datetime
    operation: Operation
    scope: StateScope
    key: str | None
    state_class: StateClass
    in_batch: bool
    expires_at: datetime | None
    _encoded: bytes | None

    @property
    def value(self) -> Any:
        """The value that was set, decoded on access; None for every other operation."""
        return None if self._encoded is None else _core.value_decode(self._encoded)

    def __repr__(self) -> str:
        what = f"{self.scope}" if self.key is None else f"{self.scope} {self.key!r}"
        return f"<Change {self.version}: {self.operation} {what} at {self.at.isoformat()}>"


def change_from_row(row: _core._Row) -> Change:
    """The change that a row of the compiled core stands for."""
    version, time_us, operation, scope, key, encoded, state_class, in_batch, expires_us = row
    return Change(
        version,
        time_from_us(time_us),
        operation,
        scope,
        key,
        StateClass(state_class),
        in_batch,
        _expiry_from_us(expires_us),
        encoded,
    )


class Changes(Iterator[Change]):
    """Committed changes in the order of their versions, up to the last one there is.

    Iterating again after the end goes on with what was committed since.
    """

    def __init__(self, cursor: _core.Changes) -> None:
        self._cursor = cursor
        self._rows: list[_core._Row] = []

    def __next__(self) -> Change:
        if not self._rows:
            self._rows = self._cursor.next_rows(_ROWS_AT_ONCE)[::-1]
        if not self._rows:
            raise StopIteration
        return change_from_row(self._rows.pop())

    def __reduce__(self) -> Any:
        raise TypeError("a cursor over changes cannot be pickled: ask the store for another, with since=")
