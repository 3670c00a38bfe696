"""What opening a store costs that was closed."""

from __future__ import annotations

import tempfile

import spellkeep
from rivals.values import value
from spellkeep import StateScope


class Open:
    """From the log, and from a snapshot."""

    params = (1_000, 100_000)
    param_names = ("keys",)
    timeout = 120
    number = 1
    warmup_time = 0

    def setup(self, keys: int) -> None:
        """Two closed stores of so many keys."""
        self.folder = tempfile.TemporaryDirectory(prefix="spellkeep-asv-")
        kept = value(1, 120)
        for name in ("log", "snapshot"):
            with spellkeep.open(f"{self.folder.name}/{name}") as state:
                handle = state.scope(StateScope.agent("scout"))
                for number in range(keys):
                    handle.set(f"run/{number:06}", kept)
                if name == "snapshot":
                    state.checkpoint()

    def teardown(self, keys: int) -> None:
        """Remove them."""
        self.folder.cleanup()

    def _open(self, name: str) -> None:
        with spellkeep.open(f"{self.folder.name}/{name}") as state:
            if state.get(StateScope.agent("scout"), "run/000007") is None:
                raise RuntimeError("a key is gone")

    def time_open_from_log(self, keys: int) -> None:
        """Open, read one key, close."""
        self._open("log")

    def time_open_after_checkpoint(self, keys: int) -> None:
        """The same after a checkpoint."""
        self._open("snapshot")
