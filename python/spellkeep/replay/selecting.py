"""Finding recorded executions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from spellkeep.errors import LimitExceeded
from spellkeep.hooks import Execution
from spellkeep.hooks.log import OUTCOMES
from spellkeep.hooks.reading import read_history
from spellkeep.replay.inputs import batches
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.changes import Change
    from spellkeep.store import StateManager

_ALL = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which executions: the arguments of `ReplayManager.select`, checked."""

    ids: Iterable[str] | None = None
    hook: str | None = None
    correlation: str | None = None
    scope: StateScope | None = None
    since: datetime | None = None
    until: datetime | None = None
    result: str | None = None
    limit: int = 1000

    def __post_init__(self) -> None:
        """Refuse what would find nothing because it is no such thing."""
        if self.ids is not None:
            ids = (self.ids,) if isinstance(self.ids, str) else tuple(self.ids)
            if not all(isinstance(id, str) for id in ids):
                raise TypeError("ids= takes ids, which are text: Execution.id")
            object.__setattr__(self, "ids", ids)
        for name in ("hook", "correlation", "result"):
            if not isinstance(getattr(self, name), str | None):
                raise TypeError(f"{name}= is a text, not {getattr(self, name)!r}")
        if not isinstance(self.scope, StateScope | None):
            raise TypeError(f"scope= is a StateScope, not {self.scope!r}")
        if self.result is not None and self.result not in OUTCOMES:
            raise ValueError(f"result= is one of {', '.join(OUTCOMES)}, not {self.result!r}")
        for name in ("since", "until"):
            moment = getattr(self, name)
            if not isinstance(moment, datetime | None):
                raise TypeError(f"{name}= is a datetime, not {moment!r}")
            # A time without a zone is local, as `datetime` has it.
            object.__setattr__(self, name, None if moment is None else moment.astimezone(UTC))
        if not isinstance(self.limit, int):
            raise TypeError(f"limit= is a number of executions, not {self.limit!r}")
        if self.limit < 0:
            raise LimitExceeded("limit= is a number of executions, at least 0", code="replay.option")

    def document(self) -> dict[str, Any]:
        """What is stored."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given["scope"] = None if self.scope is None else str(self.scope)
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """What `document` gave."""
        scope = document.get("scope")
        return cls(**{**document, "scope": None if scope is None else StateScope.parse(scope)})


def select(state: StateManager, asked: Selection) -> list[Execution]:
    """See `ReplayManager.select`."""
    wanted = None if asked.ids is None else frozenset(asked.ids)
    correlation, scope = asked.correlation, asked.scope
    narrow = wanted is not None or correlation is not None or scope is not None
    limit = _ALL if narrow else asked.limit
    found = read_history(state, asked.hook, asked.since, asked.until, asked.result, None, limit)
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
    return found[: asked.limit][::-1]
