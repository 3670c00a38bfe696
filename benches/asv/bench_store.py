"""What a write and a read cost through a scope handle, with default settings, on the disk of the temporary folder."""

from __future__ import annotations

import tempfile
from itertools import count

import spellkeep
from rivals.values import Feed
from spellkeep import StateClass, StateScope


class _Store:
    timeout = 120

    def _open(self, size_bytes: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="spellkeep-asv-")
        self.state = spellkeep.open(self.folder.name)
        self.handle = self.state.scope(StateScope.agent("scout"))
        self.trusted = self.state.scope(StateScope.agent("trusted"), state_class=StateClass.TRUSTED)
        self.feed = Feed([f"run/{number:04}" for number in range(200)], size_bytes)
        for key, value in self.feed.first():
            self.handle.set(key, value)
            self.trusted.set(key, value)
        # One value more than keys, so a key never gets the value that it has.
        self.writes = self.feed.writes(200 * 201)
        self.turns = count()

    def teardown(self, *_: object) -> None:
        """Close and remove it."""
        self.state.close()
        self.folder.cleanup()


class Handle(_Store):
    """One call."""

    params = (120, 1_000, 10_000)
    param_names = ("bytes",)

    def setup(self, size_bytes: int) -> None:
        """Every key is there."""
        self._open(size_bytes)

    def time_set(self, size_bytes: int) -> None:
        """One acknowledged write."""
        self.handle.set(*self.writes[next(self.turns) % len(self.writes)])

    def time_set_trusted(self, size_bytes: int) -> None:
        """The same with the fewest limits."""
        self.trusted.set(*self.writes[next(self.turns) % len(self.writes)])

    def time_get(self, size_bytes: int) -> None:
        """One read."""
        self.handle.get("run/0007")


class Together(_Store):
    """Several steps."""

    def setup(self) -> None:
        """Every key is there."""
        self._open(120)

    def time_batch_of_100(self) -> None:
        """One atomic batch."""
        begin = next(self.turns) * 100 % len(self.writes)
        with self.state.batch() as batch:
            for key, value in self.writes[begin : begin + 100]:
                batch.set(StateScope.agent("scout"), key, value)

    def time_compare_and_set(self) -> None:
        """Read with the version, change, write if nobody else has."""
        entry = self.handle.entry("run/0007")
        entry.value["step"] += 1
        self.handle.set("run/0007", entry.value, if_version=entry.version)
