"""Finding recorded executions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from spellkeep.errors import LimitExceeded
from spellkeep.hooks import Execution
from spellkeep.hooks.reading import read_history
from spellkeep.replay.inputs import batches
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.changes import Change
    from spellkeep.store import StateManager

_ALL = 1 << 62


def select(
    state: StateManager,
    ids: Iterable[str] | None,
    hook: str | None,
    correlation: str | None,
    scope: StateScope | None,
    since: datetime | None,
    until: datetime | None,
    result: str | None,
    limit: int,
) -> list[Execution]:
    """See `ReplayManager.select`."""
    if limit < 0:
        raise LimitExceeded("limit= is a number of executions, at least 0", code="replay.option")
    wanted = None if ids is None else frozenset((ids,) if isinstance(ids, str) else ids)
    narrow = wanted is not None or correlation is not None or scope is not None
    found = read_history(state, hook, _aware(since), _aware(until), result, None, _ALL if narrow else limit)
    if wanted is not None:
        found = [each for each in found if each.id in wanted]
    if correlation is not None or scope is not None:
        changes = batches(state, {each.version for each in found if each.version and each.input is None})

        def fits(each: Execution) -> bool:
            if each.input is not None:
                where, of = each.input.get("scope"), each.input.get("correlation")
            elif each.version in changes:
                batch, index = changes[each.version]
                change: Change = batch[index]
                where, of = str(change.scope), change.correlation
            else:
                return False
            return (scope is None or where == str(scope)) and correlation in (None, of)

        found = list(filter(fits, found))
    return found[:limit][::-1]


def _aware(moment: datetime | None) -> datetime | None:
    return moment.astimezone() if moment is not None and moment.tzinfo is None else moment
