"""diskcache: packed values, kept until they are deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import diskcache
import ormsgpack

from rivals.contenders.protocol import Contender, Pairs, Setting


class Diskcache(Contender):
    """Its defaults, without eviction."""

    name = "diskcache"
    survives = "kill"
    words = "kill -9; a power loss but for what follows the last checkpoint"
    lacks: ClassVar[dict[str, str]] = {"list": "no search by prefix: all keys have to be read, seconds for 100,000"}
    settings = "eviction_policy='none', cull_limit=0, size_limit 64 GiB; defaults: WAL, synchronous=NORMAL, mmap 64 MB"

    def __init__(self, folder: Path, setting: Setting) -> None:
        self._cache = cache = diskcache.Cache(
            str(folder), eviction_policy="none", cull_limit=0, size_limit=64 << 30, timeout=60
        )
        packb, unpackb, put, fetch = ormsgpack.packb, ormsgpack.unpackb, cache.set, cache.get

        def set(key: str, value: Any) -> None:
            put(key, packb(value))

        def get(key: str) -> Any:
            return unpackb(fetch(key))

        self.set, self.get = set, get  # type: ignore[method-assign]

    def close(self) -> None:
        self._cache.close()

    def batch(self, pairs: Pairs) -> None:
        with self._cache.transact():
            for key, value in pairs:
                self.set(key, value)

    def keys(self, prefix: str) -> list[str]:
        # It has no search by prefix, and no other way to see keys than all of them, in order.
        return [key for key in self._cache.iterkeys() if key.startswith(prefix)]

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._cache.get(key)
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        with self._cache.transact():
            if self._cache.get(key) != seen:
                return False
            self.set(key, value)
            return True
