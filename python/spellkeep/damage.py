"""Damage: stored bytes that are not what was written. Finding all of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from spellkeep import _core

__all__ = ["Damage", "VerifyReport", "report_from_dict", "verify"]


@dataclass(frozen=True, slots=True)
class Damage:
    """One stretch of a file that is not what was written there.

    Attributes:
        file: its path.
        offset: where in it the stretch begins, in bytes.
        length_bytes: how long it is; 0 when that cannot be known.
        what: what is wrong, in a few words.
        last_good_version: the last version before it; 0 when there is none or it cannot be known.
        next_good_version: the first whole version behind it; None when there is none or it cannot be known. The
            versions between the two are missing.
    """

    file: str
    offset: int
    length_bytes: int
    what: str
    last_good_version: int
    next_good_version: int | None

    @property
    def missing_count(self) -> int | None:
        """How many versions are missing; None when that cannot be known."""
        return None if self.next_good_version is None else self.next_good_version - self.last_good_version - 1

    def __str__(self) -> str:
        place = f"{self.file}: {self.what} at byte {self.offset}"
        first = self.last_good_version + 1
        if not self.missing_count:
            return place
        last = first + self.missing_count - 1
        return (
            f"{place}: version {first} is missing"
            if first == last
            else f"{place}: versions {first} to {last} are missing"
        )


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification read and found.

    Attributes:
        file_count: files read: manifest, ring, segments, snapshots.
        byte_count: bytes of them.
        record_count: whole records of the log.
        row_count: rows of the snapshots.
        last_version: verified up to this version.
        damages: what is not as it was written.
        duration_ms: how long it took.
    """

    file_count: int
    byte_count: int
    record_count: int
    row_count: int
    last_version: int
    damages: tuple[Damage, ...]
    duration_ms: int

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.damages


def damage_from_row(row: tuple[str, int, int, str, int, int]) -> Damage:
    """Private: one damage as the core tells it."""
    file, offset, length, what, last_good, next_good = row
    return Damage(file, offset, length, what, last_good, next_good or None)


def report_from_dict(found: dict[str, Any]) -> VerifyReport:
    """Private: the report of what the core found."""
    return VerifyReport(**{**found, "damages": tuple(map(damage_from_row, found["damages"]))})


def verify(path: str | os.PathLike[str]) -> VerifyReport:
    """Read every byte of a store that counts and say what is not as it was written; never stops at the first damage.

    Read are the manifest, the ring's header, each segment with every record and its chain, and each snapshot with every
    page and row; each snapshot and the log behind it must come to the same versions. Nothing is changed, and another
    process may go on writing. An open store is verified with ``StateManager.verify``.

    Raises: StorageFailed (store.missing, storage.io).
    Cost: reads every file; the version of each key is held in memory a few times.
    """
    return report_from_dict(_core.store_verify(path))
