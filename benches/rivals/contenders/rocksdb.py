"""RocksDB through rocksdict, in raw mode: packed values."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ormsgpack
from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from rivals.contenders.protocol import Contender, Pairs, Setting


class Rocksdb(Contender):
    """The settings that its tuning guide recommends for a start."""

    name = "RocksDB (rocksdict)"
    survives = "kill"
    words = "kill -9; of a power loss what the kernel wrote of its WAL"
    settings = (
        "raw_mode, WAL on, sync=False, bloom filter of 10 bits, block cache 128 MB, blocks of 16 KB, "
        "bytes_per_sync 1 MB, max_background_jobs=2, level_compaction_dynamic_level_bytes"
    )

    def __init__(self, folder: Path, setting: Setting) -> None:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_max_background_jobs(2)
        options.set_bytes_per_sync(1 << 20)
        options.set_level_compaction_dynamic_level_bytes(True)
        blocks = BlockBasedOptions()
        blocks.set_block_cache(Cache(128 << 20))
        blocks.set_block_size(16 << 10)
        blocks.set_bloom_filter(10, False)
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options.set_block_based_table_factory(blocks)
        self._db = db = Rdict(str(folder), options)
        self._lock = threading.Lock()
        packb, unpackb, put, fetch = ormsgpack.packb, ormsgpack.unpackb, db.put, db.get

        def set(key: str, value: Any) -> None:
            put(key.encode(), packb(value))

        def get(key: str) -> Any:
            return unpackb(fetch(key.encode()))

        self.set, self.get = set, get  # type: ignore[method-assign]

    def close(self) -> None:
        self._db.close()

    def batch(self, pairs: Pairs) -> None:
        batch, packb = WriteBatch(raw_mode=True), ormsgpack.packb
        for key, value in pairs:
            batch.put(key.encode(), packb(value))
        self._db.write(batch)

    def keys(self, prefix: str) -> list[str]:
        first, found = prefix.encode(), []
        for key in self._db.keys(from_key=first):
            if not key.startswith(first):
                break
            found.append(key.decode())
        return found

    def read(self, key: str) -> tuple[Any, bytes]:
        packed = self._db.get(key.encode())
        return ormsgpack.unpackb(packed), packed

    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        # The binding has no transactions.
        with self._lock:
            if self._db.get(key.encode()) != seen:
                return False
            self.set(key, value)
            return True

    def checkpoint(self) -> None:
        self._db.flush(wait=True)
