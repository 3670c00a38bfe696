"""Looks after histories: what is over goes, and what is old is compressed."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.hooks.log import CHUNKS, HOOKS, HookLog
from spellkeep.hooks.retention import IMPORTANT, HistoryRetention
from spellkeep.value import decode, encode

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# Chunks that stay as they were written, and how many are looked after at once, or after which time.
_FRESH = 8
_AT_ONCE = 64
_TURN_S = 3600.0
_BATCH = 1000
# Smaller ones are not worth it.
_COMPRESSED_FROM_BYTES = 512


class _Chunk(NamedTuple):
    key: str
    rows: int
    at_us: int


class HistoryKeeper:
    """Looks after the chunks of one hook. Used by one thread."""

    def __init__(self, name: str, log: HookLog) -> None:
        self._prefix = f"{CHUNKS}{name}/"
        self._log = log
        self._turned_s = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        # Those that were looked at, oldest first: ordinary ones, and important ones.
        self._known: tuple[deque[_Chunk], deque[_Chunk]] = (deque(), deque())
        self._seen = self._count = 0

    @property
    def due(self) -> bool:
        """Whether there is enough to look after, or it was long ago."""
        return self._log.next_chunk - self._seen >= _AT_ONCE or time.monotonic() - self._turned_s >= _TURN_S

    def turn(self, state: StateManager, retention: HistoryRetention, now_us: int | None = None) -> None:
        """Compress what is no longer fresh, and let go of what is over."""
        self._turned_s = time.monotonic()
        end = max(self._log.next_chunk - _FRESH, self._seen)
        keys = [f"{self._prefix}{number:012d}" for number in range(self._seen, end)]
        if self._seen == 0:
            # Most of them may have gone long ago.
            keys = [key for key in state.list_keys(HOOKS, self._prefix) if key < f"{self._prefix}{end:012d}"]
        try:
            for start in range(0, len(keys), _BATCH):
                self._compress(state, keys[start : start + _BATCH])
            self._seen = end
            self._let_go(state, retention, time.time_ns() // 1000 if now_us is None else now_us)
        except BaseException:
            # What is known may not be what is there: begin anew.
            self._begin()
            raise

    def _compress(self, state: StateManager, keys: list[str]) -> None:
        with state.batch() as batch:
            for key in keys:
                chunk = state.get(HOOKS, key)
                if chunk is None:
                    # The hook is forgotten meanwhile.
                    continue
                packed = pack(chunk)
                if packed is not chunk:
                    batch.set(HOOKS, key, packed)
                self._known[is_important(packed)].append(_Chunk(key, chunk["count"], chunk["at_us"]))
                self._count += chunk["count"]

    def _let_go(self, state: StateManager, retention: HistoryRetention, now_us: int) -> None:
        over = list[str]()
        for important, known in enumerate(self._known):
            if (days := retention.days(bool(important))) is not None:
                while known and known[0].at_us < now_us - days * 86_400e6:
                    over.append(self._first_of(known))
        for known in self._known:
            while known and retention.keep_count is not None and self._count > retention.keep_count:
                over.append(self._first_of(known))
        for start in range(0, len(over), _BATCH):
            with state.batch() as batch:
                for key in over[start : start + _BATCH]:
                    batch.delete(HOOKS, key)

    def _first_of(self, known: deque[_Chunk]) -> str:
        chunk = known.popleft()
        self._count -= chunk.rows
        return chunk.key


def is_important(chunk: dict[str, Any]) -> bool:
    """Whether one of its executions is."""
    if "important" in chunk:
        return bool(chunk["important"])
    return not IMPORTANT.isdisjoint(unpack(chunk)["outcomes"])


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
    if len(packed) >= len(plain):
        return chunk
    head = {name: chunk[name] for name in ("at_us", "count")}
    return {**head, "important": is_important(chunk), "lz4": packed}


def unpack(chunk: dict[str, Any]) -> dict[str, Any]:
    """The chunk as it was written."""
    if "lz4" not in chunk:
        return chunk
    import lz4.block

    whole: dict[str, Any] = decode(lz4.block.decompress(chunk["lz4"]))
    return whole
