"""What listing costs among many keys."""

from __future__ import annotations

import spellkeep
from rivals.values import value
from spellkeep import StateScope


class Scan:
    """A scope of 100,000 keys in 100 groups."""

    timeout = 120

    def setup(self) -> None:
        """A store in memory."""
        self.state = spellkeep.open("memory:")
        self.handle = self.state.scope(StateScope.agent("scout"))
        kept = value(1, 120)
        for number in range(100_000):
            self.handle.set(f"user-{number % 100:03}/{number // 100:06}", kept)

    def teardown(self) -> None:
        """Close it."""
        self.state.close()

    def time_list_1000_by_prefix(self) -> None:
        """The keys of one group."""
        self.handle.list_keys("user-042/")

    def time_iterate_1000_by_prefix(self) -> None:
        """Its keys and values."""
        for _ in self.handle.iter_items("user-042/"):
            pass
