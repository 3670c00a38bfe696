"""Spellkeep through its public API: a scope handle of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import spellkeep
from rivals.contenders.protocol import Contender, Pairs, Setting
from spellkeep import StateScope
from spellkeep.store import Durability

SCOPE = StateScope.agent("scout")


class Interval(Contender):
    """The default."""

    name = "Spellkeep, interval"
    survives = "kill"
    words = "kill -9; a power loss but for the last 20 ms"
    settings = 'spellkeep.open(path): durability="interval", interval_ms=20'
    durability: Durability = "interval"

    def __init__(self, folder: Path, setting: Setting) -> None:
        self._state = spellkeep.open(folder, durability=self.durability)
        handle = self._state.scope(SCOPE)
        self._handle = handle
        self.set = handle.set  # type: ignore[method-assign]
        self.get = handle.get  # type: ignore[method-assign]
        self.keys = handle.list_keys  # type: ignore[method-assign]
        self.checkpoint = self._state.checkpoint  # type: ignore[method-assign]

    def close(self) -> None:
        self._state.close()

    def batch(self, pairs: Pairs) -> None:
        with self._state.batch() as batch:
            for key, value in pairs:
                batch.set(SCOPE, key, value)

    def read(self, key: str) -> tuple[Any, int]:
        entry = self._handle.entry(key)
        return entry.value, entry.version

    def compare_and_set(self, key: str, value: Any, seen: int) -> bool:
        try:
            self._handle.set(key, value, if_version=seen)
        except spellkeep.errors.Conflict:
            return False
        return True


class Process(Interval):
    """Without a sync, as the rivals that survive a kill only."""

    name = "Spellkeep, process"
    words = "kill -9; of a power loss what the kernel wrote"
    settings = 'spellkeep.open(path, durability="process")'
    durability: Durability = "process"


class Sync(Interval):
    """Each write waits for the device."""

    name = "Spellkeep, sync"
    survives = "power"
    words = "power loss"
    settings = 'spellkeep.open(path, durability="sync")'
    durability: Durability = "sync"
