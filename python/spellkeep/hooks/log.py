"""What is kept of executions: chunks of columns, one entry each, in the scope of the hooks."""

from __future__ import annotations

import heapq
import sys
import threading
import time
from array import array
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.changes import time_from_us
from spellkeep.scope import StateScope

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

_AT_ONCE = 10_000

Row = tuple[int, int, int, int]
"""Version, microseconds, outcome, digest of the input."""


class Execution(NamedTuple):
    """One execution of a hook.

    Attributes:
        hook: its name.
        chunk: the number of the chunk that it is in; without holes.
        at: when the chunk was written.
        version: of the change; of a before-hook, of what became of the operation, 0: nothing.
        duration_us: how long it took.
        result: ``proceeded``, ``modified``, ``cancelled``, ``retry``, ``skipped``, ``failed``.
        digest: XXH3-64 of its input.
        error: the class of what it raised, or its reason, without secrets.
        input: of one that changed something, refused or failed before an operation: what it was given, without secrets.
    """

    hook: str
    chunk: int
    at: datetime
    version: int
    duration_us: int
    result: str
    digest: int
    error: str | None
    input: dict[str, Any] | None


def _packed(code: str, numbers: Iterable[int]) -> bytes:
    column = array(code, numbers)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _unpacked(code: str, column: bytes) -> array[int]:
    numbers = array(code)
    numbers.frombytes(column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class HookLog:
    """The history of one hook, written chunk by chunk. For any number of threads."""

    def __init__(self, state: StateManager, name: str) -> None:
        self._prefix = f"{CHUNKS}{name}/"
        # Whoever commits a chunk has it, so that their numbers have no holes.
        self.lock = threading.Lock()
        keys = state.list_keys(HOOKS, self._prefix)
        self._next = int(keys[-1][len(self._prefix) :]) + 1 if keys else 0

    def add(self, batch: Batch, rows: list[Row], errors: dict[int, str], input: dict[str, Any] | None = None) -> None:
        """Add a chunk to a batch, under the lock; `errors` by the index of their row. `written` says it is there."""
        versions, durations, outcomes, digests = zip(*rows, strict=True)
        chunk: dict[str, Any] = {
            "at_us": time.time_ns() // 1000,
            "versions": _packed("Q", versions),
            "durations_us": _packed("Q", durations),
            "outcomes": bytes(outcomes),
            "digests": _packed("Q", digests),
        }
        if errors:
            chunk["errors"] = errors
        if input is not None:
            chunk["input"] = input
        batch.set(HOOKS, f"{self._prefix}{self._next:012d}", chunk, if_version=0)

    def written(self) -> None:
        """The batch of `add` is committed."""
        self._next += 1


def executions(name: str, number: int, chunk: dict[str, Any]) -> Iterator[Execution]:
    """The executions of a chunk, newest first."""
    versions, durations = _unpacked("Q", chunk["versions"]), _unpacked("Q", chunk["durations_us"])
    digests, outcomes = _unpacked("Q", chunk["digests"]), chunk["outcomes"]
    at, errors = time_from_us(chunk["at_us"]), chunk.get("errors", {})
    for row in range(len(versions) - 1, -1, -1):
        yield Execution(
            name,
            number,
            at,
            versions[row],
            durations[row],
            OUTCOMES[outcomes[row]],
            digests[row],
            errors.get(row),
            chunk.get("input"),
        )


def read_history(
    state: StateManager,
    hook: str | None,
    since: datetime | None,
    until: datetime | None,
    result: str | None,
    limit: int,
) -> list[Execution]:
    """See `HookRegistry.history`."""
    prefix = CHUNKS if hook is None else f"{CHUNKS}{hook}/"
    chunks: dict[str, list[str]] = {}
    for key in state.list_keys(HOOKS, prefix):
        chunks.setdefault(key[len(CHUNKS) :].rpartition("/")[0], []).append(key)
    each = [_newest_first(state, name, keys) for name, keys in chunks.items()]
    found = list[Execution]()
    for execution in heapq.merge(*each, key=lambda execution: execution.at, reverse=True):
        if len(found) >= limit or (since is not None and execution.at < since):
            break
        if (until is None or execution.at < until) and result in (None, execution.result):
            found.append(execution)
    return found


def _newest_first(state: StateManager, name: str, keys: list[str]) -> Iterator[Execution]:
    for key in reversed(keys):
        # One that is let go meanwhile.
        if (chunk := state.get(HOOKS, key)) is not None:
            yield from executions(name, int(key.rpartition("/")[2]), chunk)


def forget(state: StateManager, name: str) -> int:
    """Remove everything that is kept of a hook; return how many entries that were."""
    keys = [key for key in (DISABLED + name, POSITIONS + name) if state.exists(HOOKS, key)]
    keys += state.list_keys(HOOKS, f"{CHUNKS}{name}/")
    for start in range(0, len(keys), _AT_ONCE):
        with state.batch() as batch:
            for key in keys[start : start + _AT_ONCE]:
                batch.delete(HOOKS, key)
    return len(keys)


def begin_at(state: StateManager, name: str, since: int | None) -> int:
    """The version behind which a hook goes on; kept, so that the next process knows it."""
    stored = state.get(HOOKS, POSITIONS + name)
    if stored is not None and stored["version"] is not None:
        return int(stored["version"])
    version = state.last_version if since is None else since
    state.set(HOOKS, POSITIONS + name, {"version": version, "figures": {}})
    return version
