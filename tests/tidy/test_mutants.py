"""The list of planted defects fits the code: each can still be planted, and the test that must notice it is there."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from mutants.listed import Mutant, read
from tidy.repo import Files, texts
from tidy.rules import CORE

MUTANTS = read()


def test_files(test: str) -> list[str]:
    """Where the test of that name may stand."""
    place, *modules = test.split("::")[:-1]
    if place.endswith(".py"):
        return [place]
    if place != "lib":
        return [f"rust_core/core/tests/{place}.rs"]
    # A module is a file, a folder, or written down inside of the file of the one around it.
    stems = [CORE + "/".join(modules[:count]) for count in range(len(modules), 0, -1)]
    return [path for stem in stems for path in (f"{stem}.rs", f"{stem}/mod.rs")]


test_files.__test__ = False  # type: ignore[attr-defined]


def complaints(mutant: Mutant, files: Files) -> list[str]:
    """What keeps the mutant from being planted or noticed."""
    found = []
    if (count := files.get(mutant.file, "").count(mutant.old)) != 1:
        found.append(f"{mutant.name}: the old text stands {count} times in {mutant.file}")
    if mutant.new == mutant.old:
        found.append(f"{mutant.name}: nothing changes")
    name = mutant.test.split("::")[-1].split("[")[0]
    path = next((path for path in test_files(mutant.test) if path in files), "")
    if not re.search(rf"\b(?:fn|def) {name}\(", files.get(path, "")):
        found.append(f"{mutant.name}: there is no test {mutant.test}")
    return found


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_mutant_can_be_planted_and_its_test_exists(mutant: Mutant) -> None:
    assert complaints(mutant, texts()) == []


def test_no_two_mutants_have_one_name_or_one_text() -> None:
    names = Counter(mutant.name for mutant in MUTANTS)
    changes = Counter((mutant.file, mutant.old, mutant.new) for mutant in MUTANTS)
    assert {*names.values(), *changes.values()} == {1}


@pytest.mark.parametrize(
    "change",
    [
        {"old": "text that stands nowhere"},
        {"old": "("},
        {"new": MUTANTS[0].old},
        {"file": "no/such/file.rs"},
        {"test": "recovery::no_such_test"},
        {"test": "no_such_target::" + MUTANTS[0].test.split("::")[-1]},
        {"test": "lib::no::such::module::tests::x"},
        {"test": "tests/unit/test_scope.py::test_no_such"},
        {"test": "tests/unit/no_such.py::test_x"},
    ],
    ids=str,
)
def test_a_list_that_rots_is_found(change: dict[str, str]) -> None:
    assert len(complaints(replace(MUTANTS[0], **change), texts())) >= 1
