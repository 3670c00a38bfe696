"""What caused the current value of a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from spellkeep.changes import Change
from spellkeep.errors import KeyMissing, LimitExceeded
from spellkeep.scope import StateScope
from spellkeep.timeline.show import line_of

if TYPE_CHECKING:
    from spellkeep.store import StateManager

__all__ = ["Why", "change_of", "why"]


class Why(Sequence[Change]):
    """A change and its causes, the nearest first: ``why[0]`` made the value, ``why[-1]`` is where it began.

    Attributes:
        lost: version of the next cause, which the log no longer has; None when the chain is whole.
    """

    def __init__(self, chain: list[Change], lost: int | None) -> None:
        self._chain = chain
        self.lost = lost

    def __len__(self) -> int:
        return len(self._chain)

    @overload
    def __getitem__(self, index: int, /) -> Change: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Change]: ...
    def __getitem__(self, index: int | slice, /) -> Change | list[Change]:
        return self._chain[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self._chain)

    @property
    def correlation(self) -> str | None:
        """The correlation id nearest to the value."""
        return next((change.correlation for change in self._chain if change.correlation), None)

    def __str__(self) -> str:
        lines = [line_of(depth, change) for depth, change in enumerate(reversed(self._chain))]
        if self.lost is not None:
            lines.insert(
                0, f"{self.lost:>8}  (the log no longer has it; keep_log_days and keep_log_bytes say how far it goes)"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Why of version {self._chain[0].version}: {len(self._chain) - 1} causes>"


def change_of(state: StateManager, version: int) -> Change | None:
    """The change with a version; None when the log no longer has it."""
    try:
        found = next(state.changes(since=version - 1), None)
    except LimitExceeded:
        return None
    return found if found is not None and found.version == version else None


def why(state: StateManager, scope: StateScope, key: str) -> Why:
    """See ``StateManager.why``."""
    latest = state.history(scope, key, limit=1)
    if not latest:
        raise KeyMissing(
            f"nothing is known of {key!r} in {scope}: it was never set, or the log has let it go", code="key.missing"
        )
    chain, lost = [latest[0]], None
    while (cause := chain[-1].cause) is not None:
        found = change_of(state, cause)
        if found is None:
            lost = cause
            break
        chain.append(found)
    return Why(chain, lost)
