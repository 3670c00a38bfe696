"""How long executions are kept: the oldest go by age and number, and what is old is compressed."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spellkeep.errors import LimitExceeded
from spellkeep.hooks.log import CHUNKS, HOOKS, HookLog
from spellkeep.value import decode, encode

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# Chunks that stay as they were written, and how many are looked after at once.
_FRESH = 8
_AT_ONCE = 64
# Smaller ones are not worth it.
_COMPRESSED_FROM_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class HistoryRetention:
    """What is kept of the executions of each hook, chunk by chunk; the last chunk always is.

    Attributes:
        keep_count: so many executions. None: all.
        keep_days: those of so many days. None: of all times.
    """

    keep_count: int | None = 100_000
    keep_days: float | None = 30.0

    def __post_init__(self) -> None:
        """Refuse what is beyond its limits."""
        if self.keep_count is not None and not 0 <= self.keep_count <= 10**12:
            raise LimitExceeded("keep_count is from 0 to 10**12", code="hook.option")
        if self.keep_days is not None and not 0 <= self.keep_days <= 36_525:
            raise LimitExceeded("keep_days is from 0 to 36,525", code="hook.option")


class HistoryKeeper:
    """Looks after the chunks of one hook. Used by one thread."""

    def __init__(self, name: str, log: HookLog) -> None:
        self._prefix = f"{CHUNKS}{name}/"
        self._log = log
        # Key, executions, and when it was written; of those that were looked at.
        self._known: deque[tuple[str, int, int]] = deque()
        self._seen = self._count = 0

    @property
    def due(self) -> bool:
        """Whether there is enough to look after."""
        return self._log.next_chunk - self._seen >= _AT_ONCE

    def turn(self, state: StateManager, retention: HistoryRetention, now_us: int | None = None) -> None:
        """Compress what is no longer fresh, and let go of what is over."""
        end = max(self._log.next_chunk - _FRESH, self._seen)
        begin = f"{self._prefix}{self._seen:012d}"
        keys = [key for key in state.list_keys(HOOKS, self._prefix) if begin <= key < f"{self._prefix}{end:012d}"]
        with state.batch() as batch:
            for key in keys:
                chunk = state.get(HOOKS, key)
                if chunk is None:
                    # The hook is forgotten meanwhile.
                    continue
                packed = pack(chunk)
                if packed is not chunk:
                    batch.set(HOOKS, key, packed)
                self._known.append((key, packed["count"], packed["at_us"]))
                self._count += packed["count"]
            self._seen = end
            now_us = time.time_ns() // 1000 if now_us is None else now_us
            while self._known and self._is_over(retention, now_us):
                key, count, _ = self._known.popleft()
                self._count -= count
                batch.delete(HOOKS, key)

    def _is_over(self, retention: HistoryRetention, now_us: int) -> bool:
        if retention.keep_count is not None and self._count > retention.keep_count:
            return True
        return retention.keep_days is not None and self._known[0][2] < now_us - retention.keep_days * 86_400e6


def pack(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk as it is kept when it is old: itself if that is not smaller."""
    # Not needed before there is something old.
    import lz4.block

    if "lz4" in chunk:
        return chunk
    plain = encode(chunk)
    if len(plain) < _COMPRESSED_FROM_BYTES:
        return chunk
    packed = lz4.block.compress(plain)
    return {"at_us": chunk["at_us"], "count": chunk["count"], "lz4": packed} if len(packed) < len(plain) else chunk


def unpack(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk as it was written."""
    if "lz4" not in chunk:
        return chunk
    import lz4.block

    whole: dict[str, Any] = decode(lz4.block.decompress(chunk["lz4"]))
    return whole
