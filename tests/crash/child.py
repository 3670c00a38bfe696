"""Scripts in a Python of their own, for what cannot be tried in the process of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

Mount = Callable[..., Path]
"""What the fixture `mount` gives: options of mount(8) in, the place where it is mounted out."""

PREAMBLE = """
import os, sys
import spellkeep
from spellkeep import StateScope, errors
scout = StateScope.agent("scout")
store = sys.argv[1] if len(sys.argv) > 1 else ""
"""


def environment(**more: str) -> dict[str, str]:
    """For a child that imports what this process does: the folder of the tests first, then the path that was given."""
    path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **more}


def run(
    script: str, *arguments: object, before: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``script``, which finds ``spellkeep``, ``scout`` and ``store`` (the first argument) ready."""
    command = [*before, sys.executable, "-c", PREAMBLE + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**(env or {})),
    )
