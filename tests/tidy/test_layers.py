"""Imports go only downwards. The graph is layers.toml."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tidy.layers import python_violations, rust_imports, rust_violations
from tidy.repo import graph, texts

GRAPH: dict[str, Any] = tomllib.loads(
    """
    [rust]
    root = "core/src"
    layers = [["error"], ["scope", "record"], ["store"]]
    also = { record = ["scope"] }
    [python]
    root = "python/spellkeep"
    layers = [["errors"], ["scope"], ["store"], ["__init__"]]
    core = "_core"
    faces = ["scope", "store"]
    leaves = ["cli", "__main__", "web"]
    also = { __main__ = ["cli"] }
    """
)


def test_every_rust_import_of_the_engine_goes_down() -> None:
    assert rust_violations(texts(), graph()["rust"]) == []


def test_every_python_import_of_the_package_goes_down() -> None:
    assert python_violations(texts(), graph()["python"]) == []


@pytest.mark.parametrize(
    ("path", "text", "clean"),
    [
        ("scope/key.rs", "use crate::error::Coded;", True),
        ("scope/key.rs", "use crate::store::Store;", False),
        ("scope/key.rs", "use crate::{error::{Coded, X}, store};", False),
        ("scope/key.rs", "use crate::{error::{store, X}, scope::Y};", True),
        ("scope/key.rs", "fn f() { crate::store::open() }", False),
        ("scope/key.rs", "use super::super::store::Store;", False),
        ("scope/key.rs", "use super::Scope; fn f() { super::super::error::g() }", True),
        ("scope/mod.rs", "use super::store;", False),
        ("scope.rs", "use super::store;", False),
        ("scope/key.rs", "// crate::store\n/* crate::store */", True),
        ("scope/key.rs", 'const T: &str = "crate::store"; const R: &str = r#""crate::store"#;', True),
        ("scope/key.rs", "const QUOTE: char = '\"'; use crate::store::Store; const Q: char = '\"';", False),
        ("scope/key.rs", "fn f<'a>(x: &'a str) { crate::store::open::<'a>(x) }", False),
        ("scope/key.rs", "use crate::record;", False),
        ("record/mod.rs", "use crate::scope::Scope;", True),
        ("unlisted/mod.rs", "", False),
        ("lib.rs", "pub use crate::store::Store;", True),
    ],
)  # fmt: skip
def test_the_rust_rule_finds_planted_imports(path: str, text: str, clean: bool) -> None:
    assert (rust_violations({f"core/src/{path}": text}, GRAPH["rust"]) == []) is clean


@pytest.mark.parametrize(
    ("path", "text", "clean"),
    [
        ("scope.py", "from spellkeep._core import StateScope", True),
        ("scope.py", "from spellkeep import errors", True),
        ("scope.py", "from spellkeep.store import open", False),
        ("scope.py", "import spellkeep.store", False),
        ("scope.py", "def f():\n    from .store import open", False),
        ("scope.py", "from . import store", False),
        ("scope.py", "from spellkeep import StateManager", False),
        ("errors.py", "from spellkeep._core import x", False),
        ("errors.py", "from . import _core", False),
        ("store.py", "from spellkeep import cli", False),
        ("store/parts/deep.py", "from ...errors import Closed", True),
        ("store/parts/deep.py", "from ...cli import main", False),
        ("__init__.py", "from spellkeep.store import open", True),
        ("__init__.py", "from spellkeep import web", False),
        (
            "cli/run.py",
            "import spellkeep as sk\nfrom spellkeep.errors import Closed\nfrom spellkeep.cli import x",
            True,
        ),
        ("cli/run.py", "from spellkeep._core import Store", False),
        ("cli/run.py", "from spellkeep.store import _hidden", False),
        ("cli/run.py", "from spellkeep.web import page", False),
        ("__main__.py", "from spellkeep.cli import main", True),
        ("unlisted.py", "from spellkeep.errors import Closed", False),
    ],
)
def test_the_python_rule_finds_planted_imports(path: str, text: str, clean: bool) -> None:
    assert (python_violations({f"python/spellkeep/{path}": text}, GRAPH["python"]) == []) is clean


def test_a_path_in_a_group_is_reported_with_its_line() -> None:
    text = "\n\nuse crate::{\n    error,\n    store::Store,\n};"
    assert list(rust_imports("core/src/scope/key.rs", "core/src", text)) == [(3, "error"), (3, "store")]
