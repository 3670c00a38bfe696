"""What is measured side by side: each opens in a folder, writes one value per call and says what that call survives."""

from __future__ import annotations

import os
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import ormsgpack

import spellkeep
from spellkeep import StateScope
from spellkeep.store import Durability


class Contender(Protocol):
    """One way to keep values.

    Attributes:
        name: for the table.
        survives: what an acknowledged write survives.
        write: ``write(key, value)`` returns once it is acknowledged.
        read: ``read(key)`` gives the value.
    """

    name: str
    survives: str
    write: Callable[[str, Any], object]
    read: Callable[[str], Any]

    def close(self) -> None:
        """Give everything back."""


class Spellkeep:
    """A scope handle of a store with default settings."""

    def __init__(self, folder: Path, durability: Durability = "interval") -> None:
        self.name = f"spellkeep, {durability}"
        self.survives = {
            "process": "kill",
            "interval": "kill; power cut but for the last 20 ms",
            "sync": "kill; power cut",
        }[durability]
        self.state = spellkeep.open(folder / f"spellkeep-{durability}", durability=durability)
        handle = self.state.scope(StateScope.agent("scout"))
        self.write: Callable[[str, Any], object] = handle.set
        self.read: Callable[[str], Any] = handle.get

    def close(self) -> None:
        """Close the store."""
        self.state.close()


class ByHand:
    """What one would write for oneself: a dict of packed values, and a file with a length and a checksum per record."""

    name = "by hand: ormsgpack + write(2)"
    survives = "kill; of a power cut what the kernel wrote"

    def __init__(self, folder: Path) -> None:
        self.file = os.open(folder / "by-hand.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        values: dict[str, bytes] = {}
        file, header, packb, unpackb = self.file, struct.Struct("<III"), ormsgpack.packb, ormsgpack.unpackb

        def write(key: str, value: Any) -> None:
            name, packed = key.encode(), packb(value)
            body = name + packed
            os.write(file, header.pack(len(name), len(packed), zlib.crc32(body)) + body)
            values[key] = packed

        def read(key: str) -> Any:
            return unpackb(values[key])

        self.write: Callable[[str, Any], object] = write
        self.read: Callable[[str], Any] = read

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)


class Sqlite:
    """One row per key, one commit per write, in SQLite's fast safe setting: WAL with synchronous=NORMAL."""

    name = "sqlite3, WAL, synchronous=NORMAL"
    survives = "kill; power cut but for what follows the last checkpoint"

    def __init__(self, folder: Path) -> None:
        self.connection = sqlite3.connect(folder / "state.sqlite", isolation_level=None)
        execute = self.connection.execute
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA synchronous=NORMAL")
        execute("CREATE TABLE state (scope TEXT, key TEXT, value BLOB, PRIMARY KEY (scope, key)) WITHOUT ROWID")
        packb, unpackb = ormsgpack.packb, ormsgpack.unpackb
        upsert = (
            "INSERT INTO state VALUES ('agent:scout', ?, ?) ON CONFLICT (scope, key) DO UPDATE SET value=excluded.value"
        )

        def write(key: str, value: Any) -> None:
            execute(upsert, (key, packb(value)))

        def read(key: str) -> Any:
            row = execute("SELECT value FROM state WHERE scope = 'agent:scout' AND key = ?", (key,)).fetchone()
            return unpackb(row[0])

        self.write: Callable[[str, Any], object] = write
        self.read: Callable[[str], Any] = read

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
