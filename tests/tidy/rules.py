"""The rules besides imports. Each takes files and gives complaints, one line each, with file and line."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tidy.repo import Files, allowed, below
from tidy.rust_source import code, is_test, line, production

CORE = "rust_core/core/src/"
LINES_MAX = 400
FILE_BYTES_MAX = 1 << 20
# Where the rules themselves, and the violations planted for them, are written down.
HERE = "tests/tidy/"

_PLACEHOLDER = re.compile(r"\b(?:TODO|FIXME|XXX)\b|\b(?:todo|unimplemented)!")
_FORBIDDEN_WORDS = {"journal": "wal", "seqno": "lsn", "revision": "version"}
_OUTSIDE = re.compile(
    r"\bstd\s*::\s*(?:time|thread|fs|net|process|env)\b|\bstd\s*::\s*\{[^;]*\b(?:time|thread|fs|net|process|env)\b[^;]*;"
    r"|\b(?:SystemTime|Instant)\b|\b(?:rustix|memmap2|getrandom|rand)\s*::"
    # Constants such as error numbers are no touch of the outside.
    r"|\blibc\s*::\s*[a-z]"
)
_SWALLOWED = re.compile(r"\blet\s+_\s*=|\.ok\(\)\s*;")
_MACHINE = re.compile(r"(?<![\w.~%>-])/(?:root|work|home|Users)/\w")
_REGISTRY = re.compile(
    r"(?:\bpypi\.org|pythonhosted\.org|\b(?:index|static)\.crates\.io|registry\.npmjs\.org|deb\.debian\.org)"
    r"|\b(?:extra-)?index-url\b|\breplace-with\b"
)


def _matches(pattern: re.Pattern[str], path: str, text: str, says: str) -> Iterator[str]:
    for found in pattern.finditer(text):
        yield f"{path}:{line(text, found.start())}: {' '.join(found.group().split())}: {says}"


def long_files(files: Files) -> list[str]:
    """Source files over `LINES_MAX` lines."""
    return [
        f"{path}: {text.count(chr(10))} lines, over {LINES_MAX}: split it"
        for path, text in below("", ".rs", ".py", ".pyi", "Makefile", ".ci/run", files=files).items()
        if text.count("\n") > LINES_MAX and path not in allowed("long_file")
    ]


def placeholders(files: Files) -> list[str]:
    """Marks of unfinished work, in code, comments and documents."""
    return [
        complaint
        for path, text in files.items()
        if not path.startswith(HERE)
        for complaint in _matches(_PLACEHOLDER, path, text, "finish it or file it")
    ]


def _names(path: str, text: str) -> Iterator[tuple[int, str]]:
    if path.endswith(".rs"):
        source = code(text)
        yield from ((line(source, found.start()), found.group()) for found in re.finditer(r"\b[A-Za-z_]\w*", source))
    else:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.NAME)


def forbidden_words(files: Files) -> list[str]:
    """Identifiers that use a second word for a concept (docs/glossary.md)."""
    found = []
    for path, text in below("", ".rs", ".py", ".pyi", files=files).items():
        if path in allowed("forbidden_word"):
            continue
        for number, name in _names(path, text):
            for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name):
                singular = word.lower().removesuffix("s")
                if singular in _FORBIDDEN_WORDS:
                    found.append(f"{path}:{number}: {name}: say {_FORBIDDEN_WORDS[singular]}")
    return found


def outside_env(files: Files) -> list[str]:
    """Clock, randomness, threads, files and processes in the engine outside `env`: one seed could not replay them."""
    return [
        complaint
        for path, text in below(CORE, ".rs", files=files).items()
        if not re.match(CORE + r"env(/|\.rs$)", path) and not is_test(path) and path not in allowed("outside_env")
        for complaint in _matches(_OUTSIDE, path, production(text), "only env touches the outside")
    ]


def unsafe_code(files: Files) -> list[str]:
    """`unsafe` in a file of the engine that is not on the list."""
    return [
        complaint
        for path, text in below(CORE, ".rs", files=files).items()
        if path not in allowed("unsafe")
        for complaint in _matches(re.compile(r"\bunsafe\b"), path, code(text), "not in a file that may")
    ]


def swallowed_results(files: Files) -> list[str]:
    """Results thrown away on the write path: a log error nobody saw becomes a durability nobody has."""
    return [
        complaint
        for path, text in below(CORE, ".rs", files=files).items()
        if re.match(CORE + r"(wal|store|checkpoint|env)(/|\.rs$)", path)
        and not is_test(path)
        and path not in allowed("swallowed")
        for complaint in _matches(_SWALLOWED, path, production(text), "look at the result")
    ]


def machine_paths(files: Files) -> list[str]:
    """Paths of one machine, and hosts of package registries."""
    return [
        complaint
        for path, text in files.items()
        if not path.startswith(HERE)
        for pattern, says in ((_MACHINE, "a path of one machine"), (_REGISTRY, "a registry's host or setting"))
        for complaint in _matches(pattern, path, text, says)
    ]


def large_files(sizes: dict[str, int]) -> list[str]:
    """Files over `FILE_BYTES_MAX` bytes."""
    return [f"{path}: {size} bytes, over {FILE_BYTES_MAX}" for path, size in sizes.items() if size > FILE_BYTES_MAX]


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _public([*node.body, *node.orelse], prefix)
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        marks = {ast.unparse(mark).split("(")[0].rsplit(".", 1)[-1] for mark in node.decorator_list}
        # A setter is documented by its getter, an override by what it overrides.
        if marks & {"overload", "setter", "deleter", "override"}:
            continue
        yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{prefix}{node.name}.")


def missing_docstrings(files: Files) -> list[str]:
    """Public modules, classes and functions of the package without a docstring."""
    found = []
    for path, text in below("python/spellkeep/", ".py", ".pyi", files=files).items():
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            found.append(f"{path}:1: the module has no docstring")
        if path.rsplit("/", 1)[-1].startswith("_") and path.endswith(".py") and not path.endswith("__.py"):
            continue
        for name, node in _public(tree.body, ""):
            if not ast.get_docstring(node):
                found.append(f"{path}:{node.lineno}: {name} has no docstring")
    return found
