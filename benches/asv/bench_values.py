"""What packing and unpacking costs, and looking into a large value without unpacking it."""

from __future__ import annotations

from typing import Any

import spellkeep
from rivals.values import value
from spellkeep import StateScope
from spellkeep.value import decode, encode


class Packing:
    """Agent-like values of several sizes."""

    params = (120, 1_000, 10_000, 1_000_000)
    param_names = ("bytes",)

    def setup(self, size_bytes: int) -> None:
        """The value and its bytes."""
        self.value: Any = value(1, size_bytes)
        self.packed = encode(self.value)

    def time_encode(self, size_bytes: int) -> None:
        """From Python objects to bytes."""
        encode(self.value)

    def time_decode(self, size_bytes: int) -> None:
        """And back."""
        decode(self.packed)

    def track_packed_bytes(self, size_bytes: int) -> int:
        """How long the bytes are."""
        return len(self.packed)


class View:
    """One part of a stored value of 1 MB."""

    def setup(self) -> None:
        """A store in memory with one conversation."""
        self.state = spellkeep.open("memory:")
        self.handle = self.state.scope(StateScope.agent("scout"))
        self.handle.set("chat", value(1, 1_000_000))

    def teardown(self) -> None:
        """Close it."""
        self.state.close()

    def time_one_field(self) -> None:
        """The content of one message of thousands."""
        self.handle.view("chat")["messages"][1000]["content"]
