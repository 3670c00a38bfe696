"""What is kept of executions: chunks of columns, one entry each, in the scope of the hooks."""

from __future__ import annotations

import sys
import threading
import time
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from spellkeep.errors import LimitExceeded
from spellkeep.redaction import HIDDEN, Redactor
from spellkeep.scope import StateScope
from spellkeep.value import decode

if TYPE_CHECKING:
    from spellkeep.batch import Batch
    from spellkeep.store import StateManager

HOOKS = StateScope.custom("spellkeep.hooks")
"""Where hooks keep what they know of themselves. No hook runs for it, nor for any ``custom:spellkeep.*``."""

OUTCOMES = ("proceeded", "modified", "cancelled", "retry", "skipped", "failed")
"""How an execution may end, by its number in the history."""
PROCEEDED, MODIFIED, CANCELLED, RETRY, SKIPPED, FAILED = range(6)

CHUNKS = "history/"
POSITIONS = "position/"
DISABLED = "disabled/"
KEPT = "kept/"
"""What a `Keeper` keeps under its name."""

_AT_ONCE = 10_000

Row = tuple[Any, ...]
"""Version, microseconds, outcome, digest of the input; of one that recorded something, that, encoded."""

# So much of a row each execution has.
_BARE = 4

_redactor = Redactor()


def _recorded(encoded: list[bytes]) -> list[bytes] | None:
    """What an execution recorded, as it is kept: not at all if there are secrets in it."""
    shown = _redactor.value([decode(each) for each in encoded])
    return None if HIDDEN in repr(shown) else encoded


def _packed(code: str, numbers: Iterable[int]) -> bytes:
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


class HookLog:
    """The history of one hook, written chunk by chunk. For any number of threads."""

    def __init__(self, state: StateManager, name: str, when: str = "after") -> None:
        self._when = when
        self._prefix = f"{CHUNKS}{name}/"
        # Whoever commits a chunk has it, so that their numbers have no holes.
        self.lock = threading.Lock()
        keys = state.list_keys(HOOKS, self._prefix)
        self._added = 0
        self._next = int(keys[-1][len(self._prefix) :]) + 1 if keys else 0

    def add(
        self,
        batch: Batch,
        rows: list[Row],
        errors: dict[int, str],
        input: dict[str, Any] | None = None,
        answered: int | None = None,
    ) -> None:
        """Add a chunk to a batch, under the lock; `errors` by the index of their row. `written` says it is there.

        Of what is too large for one value it makes several. One execution that is too large loses what it recorded.
        """
        self._added = 0
        self._put(batch, rows, errors, input, answered)

    def _put(
        self, batch: Batch, rows: list[Row], errors: dict[int, str], input: dict[str, Any] | None, answered: int | None
    ) -> None:
        try:
            batch.set(
                HOOKS,
                f"{self._prefix}{self._next + self._added:012d}",
                self._chunk(rows, errors, input, answered),
                if_version=0,
            )
        except LimitExceeded as failure:
            if not failure.code.startswith("value.") or (len(rows) == 1 and len(rows[0]) <= _BARE):
                raise
            half = len(rows) // 2
            if half == 0:
                self._put(batch, [rows[0][:_BARE]], errors, input, answered)
                return
            self._put(batch, rows[:half], {row: said for row, said in errors.items() if row < half}, input, answered)
            rest = {row - half: said for row, said in errors.items() if row >= half}
            self._put(batch, rows[half:], rest, input, answered)
        else:
            self._added += 1

    def _chunk(
        self, rows: list[Row], errors: dict[int, str], input: dict[str, Any] | None, answered: int | None
    ) -> dict[str, Any]:
        versions, durations, outcomes, digests, *_ = zip(*rows, strict=False)
        chunk: dict[str, Any] = {
            "at_us": time.time_ns() // 1000,
            # What has an input was told at once, before the operation.
            "when": self._when if input is None else "before",
            "count": len(rows),
            "versions": _packed("Q", versions),
            "durations_us": _packed("Q", durations),
            "outcomes": bytes(outcomes),
            "digests": _packed("Q", digests),
        }
        if errors:
            chunk["errors"] = errors
        if recorded := {index: _recorded(row[4]) for index, row in enumerate(rows) if len(row) > 4}:
            chunk["recorded"] = recorded
        if input is not None:
            chunk["input"] = input
        if answered is not None:
            chunk["answered"] = answered
        return chunk

    @property
    def next_chunk(self) -> int:
        """The number that the next one gets."""
        return self._next

    def written(self) -> None:
        """The batch of `add` is committed."""
        self._next += self._added


def forget(state: StateManager, name: str) -> int | None:
    """Remove everything that is kept of a hook; return how many executions that were. None: nothing was."""
    chunks = state.list_keys(HOOKS, f"{CHUNKS}{name}/")
    keys = [key for key in (DISABLED + name, POSITIONS + name, KEPT + name) if state.exists(HOOKS, key)] + chunks
    # Their columns are not looked at.
    count = sum(state.view(HOOKS, key)["count"] for key in chunks)
    for start in range(0, len(keys), _AT_ONCE):
        with state.batch() as batch:
            for key in keys[start : start + _AT_ONCE]:
                batch.delete(HOOKS, key)
    return count if keys else None


def begin_at(state: StateManager, name: str, since: int | None) -> int:
    """The version behind which a hook goes on; kept, so that the next process knows it."""
    stored = state.get(HOOKS, POSITIONS + name)
    if stored is not None and stored["version"] is not None:
        return int(stored["version"])
    version = state.last_version if since is None else since
    state.set(HOOKS, POSITIONS + name, {"version": version, "figures": {}})
    return version


def kept(state: StateManager) -> list[tuple[str, dict[str, Any]]]:
    """What is stored of each hook, by its name."""
    return [(key[len(POSITIONS) :], stored) for key, stored in state.items(HOOKS, POSITIONS)]
