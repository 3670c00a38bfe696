"""Changes in order, with the tree that their causes make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, overload

from spellkeep.changes import Change
from spellkeep.timeline.show import as_text

__all__ = ["Gap", "Timeline", "TimelineStats", "type_of"]


def type_of(change: Change) -> str:
    """What a change is in a timeline: the type of an event, else the operation."""
    return (change.key or "event") if change.operation == "event" else change.operation


class Gap(NamedTuple):
    """A pause: nothing happened between two changes that follow each other in time.

    Attributes:
        before: version of the change that the pause follows.
        after: version of the change that ends it.
        seconds: how long it was.
    """

    before: int
    after: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimelineStats:
    """Figures of a timeline.

    Attributes:
        count: changes and events.
        seconds: from the first to the last, by their clocks.
        depth: steps of cause of the longest chain; 0 when nothing caused anything.
        roots: how many have no cause among them.
        leaves: how many caused nothing among them.
        types: how many of each type.
        scopes: how many of each scope, as text.
        actors: how many of each actor; those without one are left out.
        missing_causes: how many name a cause that is not among them.
    """

    count: int
    seconds: float
    depth: int
    roots: int
    leaves: int
    types: dict[str, int]
    scopes: dict[str, int]
    actors: dict[str, int]
    missing_causes: int


class Timeline(Sequence[Change]):
    """Changes and events in the order of their versions, and who caused whom among them.

    A cause is older than what it caused, so they are trees. Made by ``StateManager.timeline``; it does not change.
    """

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = sorted(changes, key=lambda change: change.version)

    def __len__(self) -> int:
        return len(self._changes)

    @overload
    def __getitem__(self, index: int, /) -> Change: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Change]: ...
    def __getitem__(self, index: int | slice, /) -> Change | list[Change]:
        return self._changes[index]

    def __iter__(self) -> Iterator[Change]:
        return iter(self._changes)

    @cached_property
    def _by_version(self) -> dict[int, Change]:
        return {change.version: change for change in self._changes}

    @cached_property
    def _caused(self) -> dict[int, list[Change]]:
        caused: dict[int, list[Change]] = {}
        for change in self._changes:
            if change.cause is not None:
                caused.setdefault(change.cause, []).append(change)
        return caused

    @cached_property
    def _depths(self) -> dict[int, int]:
        depths: dict[int, int] = {}
        for change in self._changes:
            depths[change.version] = depths[change.cause] + 1 if change.cause in depths else 0
        return depths

    def of_version(self, version: int) -> Change:
        """The change with a version. Raises: KeyError when it is not in this timeline."""
        return self._by_version[version]

    def cause_of(self, change: Change) -> Change | None:
        """What caused it; None when nothing did, or nothing in this timeline."""
        return None if change.cause is None else self._by_version.get(change.cause)

    def caused_by(self, change: Change) -> list[Change]:
        """What it caused directly, in order."""
        return list(self._caused.get(change.version, ()))

    def depth_of(self, change: Change) -> int:
        """How many causes stand above it in this timeline; 0 for a root."""
        return self._depths[change.version]

    @property
    def roots(self) -> list[Change]:
        """What nothing in this timeline caused."""
        return [change for change in self._changes if self._depths[change.version] == 0]

    @property
    def leaves(self) -> list[Change]:
        """What caused nothing in this timeline."""
        return [change for change in self._changes if change.version not in self._caused]

    @property
    def missing_causes(self) -> list[int]:
        """Versions that are named as a cause and are not here: asked for otherwise, or let go by the log."""
        return sorted(self._caused.keys() - self._by_version.keys())

    def walk(self) -> Iterator[tuple[int, Change]]:
        """Depth and change, each cause before what it caused, siblings in order."""
        stack = [(0, change) for change in reversed(self.roots)]
        while stack:
            depth, change = stack.pop()
            yield depth, change
            stack.extend((depth + 1, each) for each in reversed(self._caused.get(change.version, ())))

    def chain(self, change: Change) -> list[Change]:
        """From its root to it."""
        chain = [change]
        while (above := self.cause_of(chain[-1])) is not None:
            chain.append(above)
        return chain[::-1]

    def chains(self) -> Iterator[list[Change]]:
        """From a root to a leaf, for each leaf."""
        return (self.chain(leaf) for leaf in self.leaves)

    def critical_path(self) -> list[Change]:
        """The chain that took longest from its root to its leaf; of equal ones the first. Empty for no changes."""
        return max(self.chains(), key=lambda chain: chain[-1].at - chain[0].at, default=[])

    def gaps(self, longer_than_s: float = 1.0) -> list[Gap]:
        """Pauses, the longest first."""
        in_time = sorted(self._changes, key=lambda change: (change.at, change.version))
        gaps = [Gap(one.version, two.version, (two.at - one.at).total_seconds()) for one, two in pairwise(in_time)]
        return sorted((gap for gap in gaps if gap.seconds > longer_than_s), key=lambda gap: -gap.seconds)

    @property
    def seconds(self) -> float:
        """From the first to the last, by their clocks."""
        moments = [change.at for change in self._changes]
        return (max(moments) - min(moments)).total_seconds() if moments else 0.0

    def stats(self) -> TimelineStats:
        """Its figures. Cost: O(changes)."""
        return TimelineStats(
            count=len(self),
            seconds=self.seconds,
            depth=max(self._depths.values(), default=0),
            roots=len(self.roots),
            leaves=len(self.leaves),
            types=dict(Counter(map(type_of, self._changes)).most_common()),
            scopes=dict(Counter(str(change.scope) for change in self._changes).most_common()),
            actors=dict(Counter(change.actor for change in self._changes if change.actor).most_common()),
            missing_causes=len(self.missing_causes),
        )

    def __str__(self) -> str:
        return as_text(self.walk())

    def __repr__(self) -> str:
        if not self._changes:
            return "<Timeline, empty>"
        first, last = self._changes[0].version, self._changes[-1].version
        return f"<Timeline of {len(self)}, versions {first} to {last}, {self.seconds:.3f} s>"

    def __eq__(self, other: Any) -> bool:
        return self._changes == other._changes if isinstance(other, Timeline) else NotImplemented

    __hash__ = None  # type: ignore[assignment]
