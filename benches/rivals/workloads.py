"""What is measured, as data. The runner does it, the report names it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["set", "new", "get", "batch", "cas", "mixed", "list", "open"]


@dataclass(frozen=True)
class Workload:
    """One line of the tables, for every contender.

    Attributes:
        name: how the tables call it.
        kind: what one operation does.
        size_bytes: of a value, about.
        keys: how many there are before it begins.
        threads: that share the operations.
        checkpoint: whether the contender's checkpoint runs again and again meanwhile.
        count_max: no repeat has more operations than this.
        quick: whether ``QUICK=1`` has it too.
    """

    name: str
    kind: Kind
    size_bytes: int = 1_000
    keys: int = 500
    threads: int = 1
    checkpoint: bool = False
    count_max: int = 20_000
    quick: bool = True

    @property
    def writes(self) -> bool:
        """Whether durability matters to it."""
        return self.kind not in ("get", "list", "open")

    def shortened(self, keys: int) -> Workload:
        """With fewer keys, and a name that says so."""
        name = self.name.replace(f"{self.keys:,}", f"{keys:,}")
        name = name.replace(f"{self.keys // LIST_GROUPS:,} of", f"{keys // LIST_GROUPS:,} of")
        return replace(self, keys=keys, name=name)


LIST_KEYS = 100_000
LIST_GROUPS = 100
BATCH = 100

WORKLOADS = (
    Workload("set 120 B", "set", 120),
    Workload("set 1 KB", "set"),
    Workload("set 10 KB", "set", 10_000, keys=100, count_max=4_000, quick=False),
    Workload("set 1 MB", "set", 1_000_000, keys=4, count_max=40),
    Workload("set 1 KB, new keys", "new"),
    Workload("get 120 B", "get", 120),
    Workload("get 1 KB", "get"),
    Workload("get 10 KB", "get", 10_000, keys=100, count_max=4_000, quick=False),
    Workload("get 1 MB", "get", 1_000_000, keys=4, count_max=40),
    Workload("set 1 KB, 1 thread", "set", threads=1, quick=False),
    Workload("set 1 KB, 2 threads", "set", threads=2, quick=False),
    Workload("set 1 KB, 4 threads", "set", threads=4, quick=False),
    Workload("set 1 KB, 8 threads", "set", threads=8),
    Workload("get 1 KB, 8 threads", "get", threads=8, quick=False),
    Workload("batch of 100 x 120 B", "batch", 120, count_max=1_000),
    Workload("compare-and-set loop, 120 B", "cas", 120),
    Workload("80 % get, 20 % set, 1 KB, under a checkpoint", "mixed", checkpoint=True),
    Workload("list 1,000 of 100,000 keys by prefix", "list", 120, keys=LIST_KEYS, count_max=500),
    Workload("open 100,000 keys and get one", "open", 120, keys=LIST_KEYS, count_max=1),
)
