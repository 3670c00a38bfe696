"""Imports against the graph of layers.toml."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tidy.repo import Files, below
from tidy.rust_source import code, line

_PATH = re.compile(r"\b(crate|super(?:\s*::\s*super)*)\s*::\s*(\{|\w+)")
_MACRO = re.compile(r"\$crate\s*::\s*(\w+)")


def _complain(graph: Mapping[str, Any], room: str, target: str) -> str | None:
    layer = {name: height for height, names in enumerate(graph["layers"]) for name in names}
    if room not in layer:
        return f"{room} is not in layers.toml"
    if target == room or target in graph.get("also", {}).get(room, ()):
        return None
    if target not in layer:
        return f"{room} imports {target}, which is not in layers.toml"
    return None if layer[target] < layer[room] else f"{room} must not import {target}: it is not in a lower layer"


def _heads(group: str) -> list[str]:
    """The first names of a `{a, b::{c, d}}` list, given from behind its opening brace."""
    heads, depth, piece = [], 0, ""
    for character in group:
        if character == "}" and depth == 0:
            break
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            heads.append(piece)
            piece = ""
        else:
            piece += character
    return [found.group() for head in [*heads, piece] if (found := re.search(r"\w+", head))]


def rust_imports(path: str, root: str, text: str) -> Iterator[tuple[int, str]]:
    """Line and crate-level name of every `crate::..` path, and of every `super::..` path that climbs to the root."""
    parts = path.removeprefix(root + "/").removesuffix(".rs").split("/")
    depth = len([part for part in parts if part != "mod"])
    source = code(text)
    for found in _PATH.finditer(source):
        climb, name = found.groups()
        if climb != "crate" and climb.count("super") < depth:
            continue
        names = _heads(source[found.end() :]) if name == "{" else [name]
        yield from ((line(source, found.start()), each) for each in names)
    yield from ((line(source, found.start()), found.group(1)) for found in _MACRO.finditer(source))


def rust_violations(files: Files, graph: Mapping[str, Any]) -> list[str]:
    """Imports of the engine's rooms that the graph does not allow."""
    root: str = graph["root"]
    known = {name for names in graph["layers"] for name in names}
    rooms = {
        path.removeprefix(root + "/").split("/")[0].removesuffix(".rs") for path in below(root, ".rs", files=files)
    }
    found = []
    for path, text in below(root + "/", ".rs", files=files).items():
        room = path.removeprefix(root + "/").split("/")[0].removesuffix(".rs")
        if room == "lib":
            continue
        if room not in known:
            found.append(f"{path}: {room} is not in layers.toml")
        for number, target in rust_imports(path, root, text):
            if target in known | rooms and (complaint := _complain(graph, room, target)):
                found.append(f"{path}:{number}: {complaint}")
    return found


def _python_targets(node: ast.AST, package: list[str]) -> Iterator[list[str]]:
    """Dotted names that one import statement names, absolute, one list of parts each."""
    if isinstance(node, ast.Import):
        yield from (alias.name.split(".") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        module = [*start, *(node.module.split(".") if node.module else [])]
        yield from ([*module, alias.name] for alias in node.names)


def python_violations(files: Files, graph: Mapping[str, Any]) -> list[str]:
    """Imports between the package's modules that the graph does not allow."""
    root: str = graph["root"]
    package = root.rsplit("/", 1)[-1]
    leaves, core = graph["leaves"], graph["core"]
    modules = {
        path.removeprefix(root + "/").split("/")[0].removesuffix(".py") for path in below(root, ".py", files=files)
    }
    modules |= {name for names in graph["layers"] for name in names} | {core, *leaves}
    found = []
    for path, text in below(root + "/", ".py", files=files).items():
        parts = path.removeprefix(root + "/").removesuffix(".py").split("/")
        room, also = parts[0], graph.get("also", {}).get(parts[0], ())
        for node in ast.walk(ast.parse(text)):
            for name in _python_targets(node, [package, *parts[:-1]]):
                if name[0] != package or name[1:2] == [room]:
                    continue
                target = name[1] if len(name) > 1 and name[1] in modules else "__init__"
                complaint = None
                if target == core:
                    complaint = None if room in graph["faces"] else f"{room} must not import {core}: only faces may"
                elif target in also:
                    pass
                elif target in leaves:
                    complaint = f"{room} must not import {target}: it is a leaf"
                elif room in leaves:
                    if any(part.startswith("_") and not part.endswith("__") for part in name[1:]):
                        complaint = f"{room} must not import {'.'.join(name)}: a leaf uses the public API only"
                else:
                    complaint = _complain(graph, room, target)
                if complaint:
                    found.append(f"{path}:{getattr(node, 'lineno', 0)}: {complaint}")
    return found
