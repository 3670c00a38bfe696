"""What a scope handle costs: one write and one read of a small dict, through the public API."""

from __future__ import annotations

import sys
import tempfile
from itertools import count
from pathlib import Path

import spellkeep
from spellkeep import StateScope

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workloads import KEYS, small_dict, writes


class Handle:
    """Default settings: ``interval`` durability, on the disk of the temporary folder."""

    def setup(self) -> None:
        """A store with every key in it, and dicts made ahead, each unlike the one that is stored."""
        self.folder = tempfile.TemporaryDirectory(prefix="spellkeep-asv-")
        self.state = spellkeep.open(self.folder.name)
        self.handle = self.state.scope(StateScope.agent("scout"))
        for key, value in writes(len(KEYS)):
            self.handle.set(key, value)
        self.values = [small_dict(number) for number in range(len(KEYS) + 1)]
        self.turns = count()

    def teardown(self) -> None:
        """Close and remove it."""
        self.state.close()
        self.folder.cleanup()

    def time_set(self) -> None:
        """One acknowledged write."""
        turn = next(self.turns)
        # One value more than keys, so a key never gets the value that it has.
        self.handle.set(KEYS[turn % len(KEYS)], self.values[turn % len(self.values)])

    def time_get(self) -> None:
        """One read."""
        self.handle.get(KEYS[7])
