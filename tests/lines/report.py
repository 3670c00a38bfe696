"""Say which lines of the core its tests run: a table per file from an lcov file, and failure below the floor.

Test code is not counted: neither files of tests nor test modules at the end of a file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tidy import rust_source

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "rust_core" / "core" / "src"


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a file that can run, and those of them that no test ran."""

    count: int
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        """How many of them ran."""
        return 100 * (self.count - len(self.missed)) / self.count if self.count else 100


def read(lcov: Iterable[str], below: Path) -> dict[str, Lines]:
    """The production lines of each file in `below`, by its path in there."""
    runs: dict[Path, dict[int, int]] = {}
    lines: dict[int, int] = {}
    for record in lcov:
        kind, _, rest = record.strip().partition(":")
        if kind == "SF":
            lines = runs.setdefault(Path(rest), {})
        elif kind == "DA":
            number, count = map(int, rest.split(",")[:2])
            lines[number] = lines.get(number, 0) + count
    found = {}
    for path, ran in sorted(runs.items()):
        if not path.is_relative_to(below) or rust_source.is_test(name := path.relative_to(below).as_posix()):
            continue
        tests = rust_source.test_lines(path.read_text(encoding="utf-8"))
        counted = {number: count for number, count in ran.items() if number not in tests}
        found[name] = Lines(len(counted), tuple(sorted(number for number, count in counted.items() if count == 0)))
    return found


def ranges(numbers: Iterable[int]) -> str:
    """`3-5 9` for 3, 4, 5 and 9."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def table(files: Mapping[str, Lines]) -> str:
    """A row per file and one for all."""
    rows = [f"{'file':<32} {'lines':>6} {'missed':>6} {'run':>7}   missed lines"]
    rows += [row(name, lines) for name, lines in files.items()]
    return "\n".join([*rows, row("all", total(files))]).rstrip()


def row(name: str, lines: Lines) -> str:
    """One line of the table."""
    missed = ranges(lines.missed) if name != "all" else ""
    return f"{name:<32} {lines.count:>6} {len(lines.missed):>6} {lines.percent:>6.1f}%   {missed}".rstrip()


def total(files: Mapping[str, Lines]) -> Lines:
    """All files as one; its missed lines only count."""
    return Lines(
        sum(lines.count for lines in files.values()), tuple(at for lines in files.values() for at in lines.missed)
    )


def main() -> int:
    """Print the table; 1 when fewer lines ran than wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lcov", type=Path)
    parser.add_argument("--floor", type=float, required=True, help="percent of lines that must have run")
    options = parser.parse_args()
    files = read(options.lcov.read_text(encoding="utf-8").splitlines(), CORE)
    if not files:
        print(f"{options.lcov} says nothing of {CORE}", file=sys.stderr)
        return 1
    print(table(files))
    if (percent := total(files).percent) < options.floor:
        print(f"{percent:.2f} % of lines ran, {options.floor:g} % are wanted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
