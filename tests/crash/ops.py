"""Operations as plain data that fits through a pipe, and the values that they store, made again from their marks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from spellkeep import StateScope

SHARED = "workflow:shared"
_KEYS = 12


@dataclass(frozen=True)
class Write:
    """Set ``key`` to the value of ``mark`` and ``size``; or, without a mark, delete it.

    Attributes:
        if_version: the version it must have; None: whatever it has.
    """

    scope: str
    key: str
    mark: str | None
    size: int = 0
    if_version: int | None = None


@dataclass(frozen=True)
class Op:
    """What one call does: ``write`` and ``batch`` its writes, ``clear`` empties ``scope``."""

    kind: str
    writes: tuple[Write, ...] = ()
    scope: str = ""

    def to_plain(self) -> list[Any]:
        """For the pipe."""
        return [self.kind, self.scope, [[w.scope, w.key, w.mark, w.size, w.if_version] for w in self.writes]]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Op:
        """From the pipe."""
        kind, scope, writes = plain
        return cls(kind, tuple(Write(*each) for each in writes), scope)


def value_of(mark: str, size: int) -> dict[str, Any]:
    """The value: unlike every other's, and of about ``size`` bytes."""
    return {"mark": mark, "fill": (mark + "/") * (size // (len(mark) + 1)), "size": size}


def scopes_of(thread: int) -> tuple[str, str]:
    """The two scopes that only this thread writes."""
    return f"agent:t{thread}", f"session:t{thread}"


def all_scopes(threads: int) -> list[StateScope]:
    """Every scope that writers touch."""
    names = [SHARED, *(name for thread in range(threads) for name in scopes_of(thread))]
    return [StateScope.parse(name) for name in names]


def _size(rng: random.Random, ring_bytes: int) -> int:
    roll = rng.random()
    if roll < 0.9:
        return rng.randint(0, 400)
    if roll < 0.985:
        return rng.randint(1_000, 20_000)
    # Does not fit into the ring, so it takes the other way to the log.
    return ring_bytes + rng.randint(0, 60_000)


def next_op(rng: random.Random, thread: int, mark: str, ring_bytes: int) -> Op:
    """What the thread does next. A ``cas`` has its version filled in by the writer."""
    scope = rng.choice(scopes_of(thread))
    key = f"key/{rng.randrange(_KEYS)}"
    roll = rng.random()
    if roll < 0.5:
        return Op("write", (Write(scope, key, mark, _size(rng, ring_bytes)),))
    if roll < 0.68:
        return Op("write", (Write(scope, key, None),))
    if roll < 0.71:
        return Op("clear", scope=scope)
    if roll < 0.86:
        return Op("cas", (Write(SHARED, f"counter/{rng.randrange(3)}", mark, rng.randint(0, 100)),))
    writes: list[Write] = []
    for number in range(rng.randint(2, 6)):
        place = rng.choice(scopes_of(thread)), f"key/{rng.randrange(_KEYS)}"
        # One operation per place: of several on one key only the last would be recorded.
        if any((write.scope, write.key) == place for write in writes):
            continue
        gone = rng.random() < 0.3
        writes.append(Write(*place, None if gone else f"{mark}.{number}", 0 if gone else _size(rng, ring_bytes // 4)))
    return Op("batch", tuple(writes))
