"""Memory per key beyond the value: each contender in a process of its own, which is filled and looked at."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ormsgpack

from rivals.contenders import load
from rivals.contenders.protocol import Contender, Setting
from rivals.values import value

_DISTINCT = 997
_BATCH = 1000
# Until what works in the background (checkpoints, compactions, a server's rewriting) has given its memory back.
SETTLE_S = 3


def anonymous_bytes() -> int:
    """Memory of this process that no file backs: pages of mapped files are the system's to take."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no RssAnon")


def _fill(contender: Contender, keys: int) -> int:
    """Store so many keys; how many bytes their values have, packed."""
    packed_bytes = 0
    for begin in range(0, keys, _BATCH):
        pairs = [(f"k/{at:08}", value(at % _DISTINCT, 120)) for at in range(begin, min(begin + _BATCH, keys))]
        packed_bytes += sum(len(ormsgpack.packb(each)) for _, each in pairs)
        contender.batch(pairs)
    return packed_bytes


def _child(name: str, keys: int, folder: str) -> None:
    made = next(each for each in load()[0] if each.name == name)
    contender = made(Path(folder) / "store", Setting(1, 120))
    # What the first keys bring along (tables, caches, modules) is no part of what a key takes.
    _fill(contender, _BATCH)
    gc.collect()
    time.sleep(SETTLE_S)
    server = getattr(contender, "server_bytes", None)
    before = anonymous_bytes() if server is None else server
    # The first ones again, and so many more.
    packed_bytes = _fill(contender, keys + _BATCH)
    gc.collect()
    time.sleep(SETTLE_S)
    after = anonymous_bytes() if server is None else contender.server_bytes  # type: ignore[attr-defined]
    if contender.get(f"k/{keys - 1:08}") != value((keys - 1) % _DISTINCT, 120):
        raise RuntimeError(f"{name} has lost a key")
    print(json.dumps({"all_bytes": (after - before) / keys, "value_bytes": packed_bytes / (keys + _BATCH)}))
    contender.close()


def per_key(name: str, keys: int, folder: Path) -> dict[str, float]:
    """Bytes for each key: ``all_bytes``, and of these ``value_bytes``, what the value has in MessagePack."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        command = [sys.executable, "-m", "rivals.memory", name, str(keys), own]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]), sys.argv[3])
