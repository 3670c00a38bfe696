"""What every contender does, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

Survives = Literal["none", "kill", "power"]
SURVIVES: dict[str, str] = {
    "none": "nothing",
    "kill": "kill -9",
    "power": "power loss",
}
"""What an acknowledged write survives at least, in the words of the tables."""

Pairs = list[tuple[str, Any]]


@dataclass(frozen=True)
class Setting:
    """What a contender may prepare for.

    Attributes:
        threads: that will call it at once.
        size_bytes: of the values, about.
    """

    threads: int = 1
    size_bytes: int = 1_000


class Contender:
    """One way to keep values by key. Every call hands over, or gives back, plain Python objects.

    Attributes:
        name: for the tables.
        survives: what an acknowledged write survives at least.
        words: the same, more exactly.
        settings: how it is configured.
        lacks: kind of workload to the reason why it has none.
    """

    name: ClassVar[str]
    survives: ClassVar[Survives]
    words: ClassVar[str]
    settings: ClassVar[str]
    lacks: ClassVar[dict[str, str]] = {}

    @classmethod
    def missing(cls) -> str | None:
        """What the machine lacks to run it, beside Python packages."""
        return None

    def __init__(self, folder: Path, setting: Setting) -> None:
        """Open what is in the folder, or begin there."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back. What was written and survives is in the folder."""
        raise NotImplementedError

    def set(self, key: str, value: Any) -> object:
        """Return once it is acknowledged."""
        raise NotImplementedError

    def get(self, key: str) -> Any:
        """The value."""
        raise NotImplementedError

    def batch(self, pairs: Pairs) -> object:
        """All of them, or none after a crash, in one call."""
        raise NotImplementedError

    def keys(self, prefix: str) -> list[str]:
        """The keys that begin with it, in order."""
        raise NotImplementedError

    def read(self, key: str) -> tuple[Any, Any]:
        """The value, and what `compare_and_set` takes to know whether it has changed since."""
        raise NotImplementedError

    def compare_and_set(self, key: str, value: Any, seen: Any) -> bool:
        """Store it unless somebody else has stored something since `read`; whether it did."""
        raise NotImplementedError

    def checkpoint(self) -> object:
        """Write down what a checkpoint of its own writes down, if it has one."""
        return None
