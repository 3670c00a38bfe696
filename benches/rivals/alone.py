"""What the benchmarks of Spellkeep alone share: their options, and what they do with their figures."""

from __future__ import annotations

import argparse
from pathlib import Path

from rivals.results import Results

__all__ = ["finish", "options"]


def options(description: str, quick: str) -> argparse.ArgumentParser:
    """A parser with what all of them take. `quick` says what --quick leaves out."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--folder", type=Path, default=Path(), help="on which disk (default: the current directory)")
    return parser


def finish(results: Results, file: Path | None) -> int:
    """Print the goals, write the file if one is named. Returns the exit code."""
    for goal in results.goals:
        met = {True: "met", False: "MISSED", None: ""}[goal.met]
        print(f"{goal.name}: {goal.figure:,.3g} {goal.unit} {met} ({goal.definition}) {goal.note}".rstrip(), flush=True)
    if file:
        results.write(file)
    return 0
