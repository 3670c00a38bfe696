"""Just enough Rust to check it: the code without comments, texts and test modules."""

from __future__ import annotations

import re

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


def production(text: str) -> str:
    """`code(text)` with inline test modules blanked too."""
    text = code(text)
    while found := _TEST_ITEM.search(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        text = text[: found.start()] + "\n" * text.count("\n", found.start(), end) + text[end:]
    return text


def is_test(path: str) -> bool:
    """Whether the whole file is test code: `tests.rs`, `tests/`, `benches/`, `fuzz/`."""
    return bool(re.search(r"(^|/)(tests|benches|fuzz|examples)(/|\.rs$)", path))


def line(text: str, offset: int) -> int:
    """The 1-based line of `offset`."""
    return text.count("\n", 0, offset) + 1
