"""Reading what hooks did."""

from __future__ import annotations

import heapq
import sys
from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.changes import time_from_us
from spellkeep.errors import LimitExceeded
from spellkeep.hooks.keeping import unpack
from spellkeep.hooks.log import CHUNKS, HOOKS, OUTCOMES
from spellkeep.value import decode

if TYPE_CHECKING:
    from spellkeep.store import StateManager


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
        row: its place in the chunk.
        when: ``before`` or ``after`` the operation; ``lists``: after operations, and this was the last of a list;
            ``both``: of a hook for before and after, which of them is not known.
        answered: of one that changed the value, XXH3-64 of what was given to the next.
        recorded: what it had recorded with ``HookContext.recorded``; None: there were secrets in it.
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
    row: int = 0
    when: str = "before"
    answered: int | None = None
    recorded: tuple[Any, ...] | None = ()

    @property
    def id(self) -> str:
        """Its hook, chunk and row: ``audit/12/0``."""
        return f"{self.hook}/{self.chunk}/{self.row}"


def _unpacked(code: str, column: bytes) -> array[int]:
    numbers = array(code)
    numbers.frombytes(column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def executions(name: str, number: int, chunk: dict[str, Any]) -> Iterator[Execution]:
    """The executions of a chunk, newest first."""
    versions, durations = _unpacked("Q", chunk["versions"]), _unpacked("Q", chunk["durations_us"])
    digests, outcomes = _unpacked("Q", chunk["digests"]), chunk["outcomes"]
    at, errors = time_from_us(chunk["at_us"]), chunk.get("errors", {})
    recorded = chunk.get("recorded", {})
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
            row,
            chunk["when"],
            chunk.get("answered"),
            None if (kept := recorded.get(row, ())) is None else tuple(map(decode, kept)),
        )


def read_history(
    state: StateManager,
    hook: str | None,
    since: datetime | None,
    until: datetime | None,
    result: str | None,
    correlation: str | None,
    limit: int,
) -> list[Execution]:
    """See `HookRegistry.history`."""
    if result is not None and result not in OUTCOMES:
        raise ValueError(f"result= is one of {', '.join(OUTCOMES)}, not {result!r}")
    if limit < 0:
        raise LimitExceeded("limit is at least 0", code="hook.option")
    prefix = CHUNKS if hook is None else f"{CHUNKS}{hook}/"
    chunks: dict[str, list[str]] = {}
    for key in state.list_keys(HOOKS, prefix):
        chunks.setdefault(key[len(CHUNKS) :].rpartition("/")[0], []).append(key)
    each = [_newest_first(state, name, keys) for name, keys in chunks.items()]
    found = list[Execution]()
    for execution in heapq.merge(*each, key=lambda execution: execution.at, reverse=True):
        if len(found) >= limit or (since is not None and execution.at < since):
            break
        if (until is not None and execution.at >= until) or result not in (None, execution.result):
            continue
        if correlation is not None and not _is_part(state, execution.version, correlation):
            continue
        found.append(execution)
    return found


def _newest_first(state: StateManager, name: str, keys: list[str]) -> Iterator[Execution]:
    for key in reversed(keys):
        # One that is let go meanwhile.
        if (chunk := state.get(HOOKS, key)) is not None:
            yield from executions(name, int(key.rpartition("/")[2]), unpack(chunk))


def _is_part(state: StateManager, version: int, correlation: str) -> bool:
    # Of an execution the history has the version; where that comes from, the log has.
    if version == 0:
        return False
    try:
        change = next(state.changes(since=version - 1), None)
    except LimitExceeded:
        return False
    return change is not None and change.version == version and change.correlation == correlation
