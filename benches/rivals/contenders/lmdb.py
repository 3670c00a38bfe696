"""LMDB: packed values, one transaction for each call."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import lmdb
import ormsgpack

from rivals.contenders.protocol import Contender, Pairs, Setting


class NoSync(Contender):
    """A commit is a change of the mapped file."""

    name = "LMDB, sync=False"
    survives = "kill"
    words = "kill -9; a power loss may damage the file"
    settings = "writemap=True, sync=False, metasync=False, meminit=False, map_size 8 GiB, a spare read transaction kept"
    options: ClassVar[dict[str, bool]] = {"writemap": True, "sync": False, "metasync": False, "meminit": False}

    def __init__(self, folder: Path, setting: Setting) -> None:
        folder.mkdir(exist_ok=True)
        spare = setting.threads + 1
        self._env = env = lmdb.open(str(folder), map_size=8 << 30, max_spare_txns=spare, **self.options)
        packb, unpackb, begin = ormsgpack.packb, ormsgpack.unpackb, env.begin

        def set(key: str, value: Any) -> None:
            with begin(write=True) as txn:
                txn.put(key.encode(), packb(value))

        def get(key: str) -> Any:
            # Decoded from the mapped page, without a copy of the bytes.
            with begin(buffers=True) as txn:
                return unpackb(txn.get(key.encode()))

        self.set, self.get = set, get  # type: ignore[method-assign]

    def close(self) -> None:
        self._env.close()

    def batch(self, pairs: Pairs) -> None:
        packb = ormsgpack.packb
        with self._env.begin(write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti([(key.encode(), packb(value)) for key, value in pairs])

    def keys(self, prefix: str) -> list[str]:
        first, found = prefix.encode(), []
        with self._env.begin() as txn, txn.cursor() as cursor:
            if cursor.set_range(first):
                for key in cursor.iternext(keys=True, values=False):
                    if not key.startswith(first):
                        break
                    found.append(key.decode())
        return found

    def read(self, key: str) -> tuple[Any, bytes]:
        with self._env.begin() as txn:
            packed = txn.get(key.encode())
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        name = key.encode()
        with self._env.begin(write=True) as txn:
            return txn.get(name) == seen and txn.put(name, ormsgpack.packb(value))


class Synced(NoSync):
    """The default: each commit waits for the device."""

    name = "LMDB, sync=True"
    survives = "power"
    words = "power loss"
    settings = "defaults (sync=True, metasync=True), map_size 8 GiB, a spare read transaction kept"
    options: ClassVar[dict[str, bool]] = {}
