"""SQLite through the standard library: a table of packed values in WAL mode, one transaction for each call."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import ormsgpack

from rivals.contenders.protocol import Contender, Pairs, Setting


class Normal(Contender):
    """What its documentation calls a good choice for most applications."""

    name = "sqlite3, WAL, NORMAL"
    survives = "kill"
    words = "kill -9; a power loss but for what follows the last checkpoint"
    settings = (
        "journal_mode=WAL, synchronous=NORMAL, cache_size 64 MB, mmap_size 256 MB, one shared connection in "
        "autocommit; WITHOUT ROWID for small values"
    )
    synchronous = "NORMAL"

    def __init__(self, folder: Path, setting: Setting) -> None:
        folder.mkdir(exist_ok=True)
        # Serialized mode: threads may share a connection, and need not wait for each other's file locks then.
        assert sqlite3.threadsafety == 3
        path = folder / "state.sqlite"
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A checkpoint is refused on a connection that is in the middle of something.
        self._other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        execute = self._connection.execute
        execute("PRAGMA journal_mode=WAL")
        execute(f"PRAGMA synchronous={self.synchronous}")
        execute("PRAGMA cache_size=-64000")
        execute("PRAGMA mmap_size=268435456")
        small = " WITHOUT ROWID" if setting.size_bytes < 200 else ""
        execute(f"CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value BLOB NOT NULL){small}")
        packb, unpackb = ormsgpack.packb, ormsgpack.unpackb
        upsert = "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value"
        select = "SELECT value FROM state WHERE key = ?"

        def set(key: str, value: Any) -> None:
            execute(upsert, (key, packb(value)))

        def get(key: str) -> Any:
            return unpackb(execute(select, (key,)).fetchone()[0])

        self.set, self.get = set, get  # type: ignore[method-assign]
        self._execute, self._upsert, self._select = execute, upsert, select

    def close(self) -> None:
        self._other.close()
        self._connection.close()

    def batch(self, pairs: Pairs) -> None:
        packb = ormsgpack.packb
        self._execute("BEGIN")
        self._connection.executemany(self._upsert, [(key, packb(value)) for key, value in pairs])
        self._execute("COMMIT")

    def keys(self, prefix: str) -> list[str]:
        range = "SELECT key FROM state WHERE key >= ? AND key < ? ORDER BY key"
        return [row[0] for row in self._execute(range, (prefix, prefix + "\U0010ffff"))]

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._execute(self._select, (key,)).fetchone()[0]
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        update = "UPDATE state SET value = ? WHERE key = ? AND value = ?"
        return self._execute(update, (ormsgpack.packb(value), key, seen)).rowcount == 1

    def checkpoint(self) -> None:
        self._other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


class Full(Normal):
    """Each commit waits for the device."""

    name = "sqlite3, WAL, FULL"
    survives = "power"
    words = "power loss"
    settings = Normal.settings.replace("NORMAL", "FULL")
    synchronous = "FULL"
