"""What every benchmark writes: one JSON file of rows and goals, which the report puts together.

A row is one contender in one workload; a goal is one figure beside what it has to be, with its definition.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal


@dataclass
class Row:
    """One contender in one workload.

    Attributes:
        survives: the durability class: none, kill or power.
        unit: of the figures: "us" for one operation, or "bytes".
        count: operations in a repeat.
        repeats: one figure for each repeat.
        percentiles: of single operations, such as ``{"p99": 1.2}``.
        ratio: ours over this one, repeat by repeat: median, min, max. None for our own rows.
        beside: which of our rows that is.
    """

    workload: str
    contender: str
    survives: str
    unit: str
    count: int
    repeats: list[float]
    percentiles: dict[str, float] = field(default_factory=dict)
    ratio: dict[str, float] | None = None
    beside: str | None = None


@dataclass
class Goal:
    """One figure and what it has to be.

    Attributes:
        name: short, such as "O1, Standard, 1 KB".
        definition: what is divided by what, or counted.
        figure: the median over the repeats, or the only one.
        unit: "ratio", "count", or of time or memory.
        at_most, at_least: the goal; neither when the figure is only reported.
        spread: least and greatest of the repeats.
        note: one sentence on what to think of it.
    """

    name: str
    definition: str
    figure: float
    unit: Literal["ratio", "us", "ms", "s", "bytes", "MB", "count"]
    at_most: float | None = None
    at_least: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is what it has to be; None without a goal."""
        if self.at_most is not None:
            return self.figure <= self.at_most
        if self.at_least is not None:
            return self.figure >= self.at_least
        return None


@dataclass
class Results:
    """One benchmark's file.

    Attributes:
        name: of the benchmark: rivals, overhead, tails, threads, memory, reopen.
        title: heading of its section.
        method: how it was measured, one paragraph.
        machine: from `rivals.machine.describe`.
        rows, goals: what came of it.
        contenders: name to what it survives, exactly, and how it is configured.
        missing: combinations that were not measured, each a line with the reason.
    """

    name: str
    title: str
    method: str
    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    contenders: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """From JSON."""
        known = json.loads(path.read_text())
        rows = [Row(**row) for row in known.pop("rows", [])]
        goals = [Goal(**goal) for goal in known.pop("goals", [])]
        return cls(**known, rows=rows, goals=goals)
