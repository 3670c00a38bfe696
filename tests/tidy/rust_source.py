"""Just enough Rust to check it: the code without comments, texts and test modules."""

from __future__ import annotations

import re
from collections.abc import Iterator

# In the order in which they start: a comment may hold a quote and a text may hold two slashes.
_NOT_CODE = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | \b(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes)
    | \b[bc]?"(?:\\.|[^"\\])*"
    | "(?:\\.|[^"\\])*"
    | b?'(?:\\[^\n]{1,10}?|[^'\\\n])'
    """,
    re.VERBOSE | re.DOTALL,
)
_TEST_ITEM = re.compile(r"#\[cfg\((?:all\()?\s*test\b[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:pub\s+)?mod\s+\w+\s*\{")


def code(text: str) -> str:
    """`text` with comments and literals blanked; lines keep their numbers."""
    return _NOT_CODE.sub(lambda found: "\n" * found.group().count("\n") or " ", text)


def _test_modules(text: str) -> Iterator[tuple[int, int]]:
    """Where inline test modules of `code(...)` begin and end."""
    end = 0
    while found := _TEST_ITEM.search(text, end):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield found.start(), end


def production(text: str) -> str:
    """`code(text)` with inline test modules blanked too."""
    text = code(text)
    for start, end in _test_modules(text):
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return text


def test_lines(text: str) -> set[int]:
    """The lines of inline test modules."""
    text = code(text)
    return {at for start, end in _test_modules(text) for at in range(line(text, start), line(text, end) + 1)}


def is_test(path: str) -> bool:
    """Whether the whole file is test code: `tests.rs`, `footer_tests.rs`, `tests/`, `benches/`, `fuzz/`."""
    return bool(re.search(r"(^|/)((\w+_)?tests|benches|fuzz|examples)(/|\.rs$)", path))


def line(text: str, offset: int) -> int:
    """The 1-based line of `offset`."""
    return text.count("\n", 0, offset) + 1
