"""Every block marked console in README.md and docs/guide runs in bash, and prints what the page says.

Lines that start with ``$`` are commands; the lines after one are its output, stdout and stderr together, in which
``...`` stands for anything. The blocks of a page share a directory and, from its `export` lines, the environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]
BLOCK = re.compile(r"^```console[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_END = "\x1e"


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of a page, each with its expected output."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.finditer(text):
        for line in block.group(1).splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].rstrip("\n"), ""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + line)
    return found


def run_page(text: str, folder: Path) -> list[str]:
    """Run the commands in one shell. Returns: a complaint per command that printed something else."""
    # Each command sees the exit code of the one before in `$?`.
    script = "".join(f"{command}\n__code=$?; printf '{_END}'; (exit $__code)\n" for command, _ in steps(text))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {name: value for name, value in os.environ.items() if name not in ("SPELLKEEP_STORE", "BASH_ENV")}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**env, "PATH": path, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    told = done.stdout.split(_END)
    complaints = []
    for number, (command, expected) in enumerate(steps(text)):
        # Columns of figures are right-aligned, so blanks give way where a figure is left open.
        pattern = re.sub(r"(?:\\ )*\\\.\\\.\\\.", "[^\\\\n]*", re.escape(expected))
        if number >= len(told) or not re.fullmatch(pattern, told[number]):
            complaints.append(f"$ {command}\n{told[number] if number < len(told) else '(never ran)'}")
    return complaints


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_console_example_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    assert not run_page(page.read_text(encoding="utf-8"), tmp_path)


def test_an_example_that_prints_something_else_is_found(tmp_path: Path) -> None:
    page = "```console\n$ echo one\none\n$ echo two\nthree\n$ false\n$ echo $? four 5\n1 f... 5\n```\n"
    assert run_page(page, tmp_path) == ["$ echo two\ntwo\n"]
