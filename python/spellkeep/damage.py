"""Damage: stored bytes that are not what was written. Finding all of it, and keeping what is whole."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any

from spellkeep import _core
from spellkeep.errors import StorageFailed

__all__ = ["Damage", "SalvageReport", "VerifyReport", "damage_from_row", "report_from_dict", "salvage", "verify"]


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


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What a salvage wrote into the new store, and what it could not.

    Versions are counted anew in the new store: where versions are missing, later ones move up.

    Attributes:
        record_count: records of the log that were taken over, with their times and in their order.
        row_count: rows of snapshots that were taken over where the log has lost their record.
        key_count: live keys of the new store.
        last_version: the last version that was taken over, as the damaged store counted.
        new_last_version: the same record's version in the new store.
        damages: what is not as it was written.
    """

    record_count: int
    row_count: int
    key_count: int
    last_version: int
    new_last_version: int
    damages: tuple[Damage, ...]


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
    block and row; each snapshot and the log behind it must come to the same versions. Nothing is changed, and another
    process may go on writing. An open store is verified with ``StateManager.verify``.

    Raises: StorageFailed (store.missing, storage.io).
    Cost: reads every file; the version of each key is held in memory a few times.
    """
    return report_from_dict(_core.store_verify(path))


def salvage(path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> SalvageReport:
    """Write everything that is whole of the store in `path` into a new store in `new_path`.

    Sets, deletes, clears, expiries and batches are taken over in their order and with their times; of a batch all or
    nothing; where the log has lost records, the rows of whole snapshots take their place. Versions are counted anew.
    The source is not changed.

    Raises: StorageFailed: `path` is no store (store.missing), `new_path` holds something already (storage.not_empty),
        or the system refused.
    Cost: reads the source a few times, and writes the new store.
    """
    if os.path.lexists(new_path) and not (os.path.isdir(new_path) and not os.listdir(new_path)):
        name = os.fspath(new_path)
        detail = f"{name} holds something already; salvage writes into a directory that is new or empty"
        raise StorageFailed(detail, code="storage.not_empty", errno=errno.ENOTEMPTY, filename=name)
    found = _core.store_salvage(path, new_path)
    return SalvageReport(**{**found, "damages": tuple(map(damage_from_row, found["damages"]))})
