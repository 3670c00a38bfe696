"""The report counts what the tests ran, and nothing of the tests themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import report

SOURCE = """fn a() {
    b("{", "#[cfg(test)] mod tests {");
    c()
}

#[cfg(test)]
mod tests {
    #[test]
    fn t() {
        a(
            "text {",
        )
    }
}

fn c() {}
"""


def lcov(path: Path, counts: dict[int, int]) -> list[str]:
    return [f"SF:{path}", *(f"DA:{number},{count}" for number, count in counts.items()), "end_of_record"]


def test_inline_test_modules_and_files_of_tests_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "wal.rs").write_text(SOURCE)
    records = lcov(tmp_path / "wal.rs", {1: 5, 2: 0, 3: 0, 9: 7, 10: 7, 11: 7, 16: 1})
    for name in ("value/tests.rs", "value/footer_tests.rs", "scope/tests/key.rs"):
        records += lcov(tmp_path / name, {1: 0})
    records += lcov(tmp_path.parent / "outside.rs", {1: 0})
    found = report.read(records, tmp_path)
    assert found == {"wal.rs": report.Lines(4, (2, 3))}
    assert found["wal.rs"].percent == 50


def test_a_line_that_one_of_two_binaries_ran_has_run(tmp_path: Path) -> None:
    (tmp_path / "a.rs").write_text("fn a() {}\n")
    records = lcov(tmp_path / "a.rs", {1: 0}) + lcov(tmp_path / "a.rs", {1: 3})
    assert report.read(records, tmp_path) == {"a.rs": report.Lines(1, ())}


def test_the_table_has_a_row_per_file_and_names_what_was_missed() -> None:
    rows = report.table({"a.rs": report.Lines(8, (3, 4, 5, 9)), "b.rs": report.Lines(2, ())}).splitlines()
    assert [line.split() for line in rows[1:]] == [
        ["a.rs", "8", "4", "50.0%", "3-5", "9"],
        ["b.rs", "2", "0", "100.0%"],
        ["all", "10", "4", "60.0%"],
    ]


@pytest.mark.parametrize(("floor", "status"), [("50", 0), ("50.1", 1)])
def test_below_the_floor_it_fails(tmp_path: Path, floor: str, status: int) -> None:
    core = report.CORE / "lib.rs"
    (tmp_path / "lcov").write_text("\n".join(lcov(core, {1: 1, 2: 0})))
    command = [sys.executable, report.__file__, str(tmp_path / "lcov"), "--floor", floor]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "are wanted" in done.stderr) == (status, status == 1)


def test_a_report_of_something_else_fails(tmp_path: Path) -> None:
    (tmp_path / "lcov").write_text("\n".join(lcov(tmp_path / "lib.rs", {1: 1})))
    command = [sys.executable, report.__file__, str(tmp_path / "lcov"), "--floor", "0"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
