"""What a key takes in memory."""

from __future__ import annotations

import gc
from pathlib import Path

import spellkeep
from rivals.values import value
from spellkeep import StateScope
from spellkeep.value import encode

KEYS = 200_000


def _anonymous_bytes() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


def track_bytes_per_key_beyond_the_value() -> float:
    """Growth of the process over 200,000 keys of 120 bytes, less the values."""
    kept = value(1, 120)
    with spellkeep.open("memory:") as state:
        handle = state.scope(StateScope.agent("scout"))
        handle.set("run/first", kept)
        gc.collect()
        before = _anonymous_bytes()
        for number in range(KEYS):
            handle.set(f"run/{number:08}", kept)
        gc.collect()
        return (_anonymous_bytes() - before) / KEYS - len(encode(kept))


track_bytes_per_key_beyond_the_value.unit = "bytes"  # type: ignore[attr-defined]
track_bytes_per_key_beyond_the_value.timeout = 120  # type: ignore[attr-defined]
