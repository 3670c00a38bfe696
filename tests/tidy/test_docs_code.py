"""Every block marked python in README.md and docs/guide runs, in the order of its file and in an empty folder."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path

import pytest

from tidy.repo import ROOT, paths

BLOCK = re.compile(r"^```python[ ]*\n(.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
PAGES = [path for path in paths() if path == "README.md" or (path.startswith("docs/guide/") and path.endswith(".md"))]


def run_blocks(name: str, text: str) -> int:
    """Runs the blocks of one page in one namespace; gives how many. Top-level `await` works, as in a notebook."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    blocks = list(BLOCK.finditer(text))
    for found in blocks:
        # Blank lines before the block make a traceback name the page's own line.
        source = "\n" * text.count("\n", 0, found.start(1)) + found.group(1)
        compiled = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(compiled, namespace)
        if inspect.iscoroutine(result):
            asyncio.run(result)
    return len(blocks)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run_blocks(page, text)


def test_a_block_that_raises_is_found_at_its_line_of_the_page() -> None:
    page = "# Title\n\n```python\nx = 1\n```\n\n```text\nnot run\n```\n\n```python\nassert x == 2\n```\n"
    with pytest.raises(AssertionError) as caught:
        run_blocks("page.md", page)
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == ("page.md", 12)


def test_blocks_share_names_and_may_await() -> None:
    blocks = ["import asyncio", "await asyncio.sleep(0)\ndone = True", "assert done"]
    page = "".join(f"```python\n{block}\n```\n" for block in blocks)
    assert run_blocks("page.md", page) == 3
