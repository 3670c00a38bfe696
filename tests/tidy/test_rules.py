"""The repository keeps its rules, and each rule can fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

import spellkeep
from tidy import rules
from tidy.repo import ROOT, Files, paths, texts

CORE = rules.CORE
ALL: list[Callable[[Files], list[str]]] = [
    rules.long_files,
    rules.placeholders,
    rules.forbidden_words,
    rules.outside_env,
    rules.unsafe_code,
    rules.swallowed_results,
    rules.machine_paths,
    rules.missing_docstrings,
]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.__name__)
def test_the_repository_keeps_the_rule(rule: Callable[[Files], list[str]]) -> None:
    assert rule(texts()) == []


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.long_files, "python/spellkeep/x.py", "pass\n" * 401),
        (rules.placeholders, "docs/x.md", "TODO: write this"),
        (rules.placeholders, CORE + "wal/mod.rs", "fn f() { // FIXME\n }"),
        (rules.placeholders, CORE + "wal/mod.rs", "fn f() { unimplemented!() }"),
        (rules.forbidden_words, CORE + "wal/mod.rs", "fn flush_journal() {}"),
        (rules.forbidden_words, CORE + "wal/mod.rs", "struct JournalWriter;"),
        (rules.forbidden_words, "python/spellkeep/x.py", "last_revision = 3"),
        (rules.forbidden_words, "tests/unit/test_x.py", "seqno = 1"),
        (rules.outside_env, CORE + "wal/mod.rs", "use std::fs::File;"),
        (rules.outside_env, CORE + "wal/mod.rs", "use std::{io, time::Duration};"),
        (rules.outside_env, CORE + "store/mod.rs", "fn f() { let now = SystemTime::now(); }"),
        (rules.outside_env, CORE + "store/mod.rs", "fn f() { std::thread::spawn(g); }"),
        (rules.outside_env, CORE + "store/mod.rs", "#[cfg(test)]\nmod tests { }\nfn f() { rustix::fs::fsync(g); }"),
        (rules.unsafe_code, CORE + "wal/mod.rs", "fn f() { unsafe { g() } }"),
        (rules.swallowed_results, CORE + "wal/mod.rs", "fn f() { let _ = file.sync(); }"),
        (rules.swallowed_results, CORE + "store/mod.rs", "fn f() { file.sync().ok(); }"),
        (rules.machine_paths, "docs/x.md", "see /" + "home/ada/state"),
        (rules.machine_paths, "Makefile", "pip install --extra-" + "index-url x"),
        (rules.machine_paths, "docs/x.md", "from https:/" + "/pypi." + "org/simple"),
        (rules.missing_docstrings, "python/spellkeep/x.py", "def f(): ..."),
        (
            rules.missing_docstrings,
            "python/spellkeep/x.py",
            '"""M."""\nclass C:\n    """C."""\n    async def f(self): ...',
        ),
        (
            rules.missing_docstrings,
            "python/spellkeep/_core.pyi",
            '"""M."""\nclass C:\n    """C."""\n    def f(self): ...',
        ),
    ],
)
def test_a_planted_violation_is_found(rule: Callable[[Files], list[str]], path: str, text: str) -> None:
    assert len(rule({path: text})) >= 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.forbidden_words, CORE + "wal/mod.rs", '// no journal here\nconst T: &str = "revision";'),
        (rules.outside_env, CORE + "env/real.rs", "use std::fs::File;"),
        (rules.outside_env, CORE + "wal/tests/crash.rs", "use std::fs::File;"),
        (rules.outside_env, CORE + "wal/mod.rs", "#[cfg(test)]\nmod tests { fn f() { std::fs::read(p) } }\n// std::fs"),
        (rules.unsafe_code, CORE + "wal/mod.rs", "#![deny(unsafe_code)] // unsafe"),
        (rules.swallowed_results, CORE + "wal/mod.rs", "fn f() { let _guard = lock(); }"),
        (rules.missing_docstrings, "python/spellkeep/_x.py", '"""M."""\ndef f(): ...'),
        (rules.missing_docstrings, "python/spellkeep/x.py", '"""M."""\ndef _f(): ...'),
    ],
)
def test_what_a_rule_does_not_mean_passes(rule: Callable[[Files], list[str]], path: str, text: str) -> None:
    assert rule({path: text}) == []


def test_no_file_is_over_a_mebibyte() -> None:
    assert rules.large_files({path: (ROOT / path).stat().st_size for path in paths()}) == []
    assert rules.large_files({"x.bin": rules.FILE_BYTES_MAX + 1, "y.bin": rules.FILE_BYTES_MAX}) != []


def undocumented(names: dict[str, object]) -> list[str]:
    """Public names, and public members of classes among them, without a docstring of their own at run time."""
    found = [name for name, value in names.items() if callable(value) and not inspect.getdoc(value)]
    for name, value in names.items():
        if inspect.isclass(value):
            # Fields of dataclasses and named tuples are described in the docstring of the class.
            fields = {*getattr(value, "__dataclass_fields__", ()), *getattr(value, "_fields", ())}
            public = (item for item in vars(value).items() if not item[0].startswith("_") and item[0] not in fields)
            members = dict(public)
            described = {k: m for k, m in members.items() if callable(m) or hasattr(m, "__get__")}
            found += [f"{name}.{key}" for key, member in described.items() if not inspect.getdoc(member)]
    return found


def test_every_public_name_explains_itself_at_run_time_compiled_ones_too() -> None:
    assert undocumented({name: getattr(spellkeep, name) for name in spellkeep.__all__}) == []


def test_the_run_time_rule_finds_a_name_without_a_docstring() -> None:
    class Planted:
        """Has one."""

        def bare(self) -> None:
            pass

    assert undocumented({"Planted": Planted}) == ["Planted.bare"]
