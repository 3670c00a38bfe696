"""The repository as the rules see it: its files by path, and the exceptions that allowed.toml grants."""

from __future__ import annotations

import functools
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

Files = Mapping[str, str]
"""Text by path, relative to the root, with forward slashes."""


@functools.cache
def paths() -> tuple[str, ...]:
    """Tracked files, and new ones that are not ignored, so that a rule speaks before the commit and not after it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted(path for path in set(listed.split("\0")) if path and (ROOT / path).is_file()))


@functools.cache
def texts() -> Files:
    """Every file of `paths` that is UTF-8 text."""
    found = {}
    for path in paths():
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        try:
            found[path] = content.decode()
        except UnicodeDecodeError:
            continue
    return found


def below(root: str, *suffixes: str, files: Files | None = None) -> dict[str, str]:
    """The files under `root` (empty: everywhere) whose name ends with one of `suffixes`."""
    chosen = texts() if files is None else files
    return {path: text for path, text in chosen.items() if path.startswith(root) and path.endswith(suffixes)}


@functools.cache
def allowed(rule: str) -> Mapping[str, str]:
    """The exceptions of one rule: path to reason."""
    table: dict[str, dict[str, str]] = tomllib.loads((Path(__file__).parent / "allowed.toml").read_text())
    return table.get(rule, {})


@functools.cache
def graph() -> Mapping[str, dict[str, object]]:
    """layers.toml."""
    return tomllib.loads((ROOT / "layers.toml").read_text())
