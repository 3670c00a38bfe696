"""The list of defects: mutants.toml, read and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("mutants.toml")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate defect.

    Attributes:
        name: what is broken, in a sentence.
        file: where, relative to the root of the repository.
        old: the text to replace; it stands in the file exactly once.
        new: what takes its place.
        test: who must notice: a pytest node id, or target::name of a Rust test of the core; the target is `lib` or an
            integration test.
        tries: how often the test runs with the defect, for a test that watches a race and may miss it; red once is red.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
    tries: int = 1

    @property
    def in_python(self) -> bool:
        """Whether pytest runs its test."""
        return ".py" in self.test

    def applied(self, text: str) -> str:
        """The text of its file with the defect. Raises: ValueError unless `old` stands there exactly once."""
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: the old text stands {count} times in {self.file}")
        return text.replace(self.old, self.new)


def read(path: Path = LIST) -> list[Mutant]:
    """Every mutant of the list, in its order."""
    return [Mutant(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]]
