"""The tree of errors: bases, codes, what survives a pickle, and that every code is one that is raised."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import errors

ROOT = Path(__file__).resolve().parents[2]
CLASSES = [getattr(errors, name) for name in errors.__all__]
BASES: dict[str, tuple[type[BaseException], ...]] = {
    "StateError": (Exception,),
    "InvalidKey": (ValueError,),
    "LimitExceeded": (ValueError,),
    "NotSerializable": (TypeError,),
    "SchemaMismatch": (TypeError,),
    "KeyMissing": (KeyError,),
    "Conflict": (),
    "HookVeto": (),
    "AccessDenied": (PermissionError,),
    "ViewEnded": (),
    "StoreLocked": (TimeoutError, OSError),
    "Busy": (TimeoutError, OSError),
    "StorageFailed": (OSError,),
    "Corrupted": (),
    "Poisoned": (),
    "ReadOnly": (PermissionError,),
    "Closed": (),
    "Forked": (),
}
# What a caller may read besides code and detail.
FIELDS: dict[str, dict[str, Any]] = {
    "LimitExceeded": {"path": "$.a"},
    "NotSerializable": {"path": "$.a"},
    "SchemaMismatch": {"path": "$.a"},
    "Conflict": {"expected_version": 1, "current_version": 2, "current": [3]},
    "HookVeto": {"hook": "check", "reason": "why", "retry_after_s": 1.5},
    "StoreLocked": {"pid": 4},
    "StorageFailed": {"errno": 28, "filename": "segments/1"},
    "Corrupted": {"file": "x", "offset": 5, "last_good_version": 6},
}
CODE = re.compile(r"\b(?:key|scope|value|store|storage|log|cas|batch|ttl|view|hook)\.[a-z_]+\b")


def sources(*suffixes: str) -> str:
    """The code that may raise: no tests, no docstrings of this check's own subject."""
    folders = [ROOT / "rust_core" / "core" / "src", ROOT / "rust_core" / "py" / "src", ROOT / "python" / "spellkeep"]
    paths = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in suffixes and "tests" not in path.parts
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def raised_codes() -> set[str]:
    """Every code that stands as a string of its own in the sources."""
    text = sources(".rs", ".py")
    found = set(re.findall(r'"((?:key|scope|value|store|storage|log|cas|batch|ttl|view|hook)\.[a-z_]+)"', text))
    # `code=f"value.{slug}"`, with the slugs of its callers.
    found |= {f"value.{slug}" for slug in re.findall(r'(?:self|shape)\.mismatch\(\s*"([a-z_]+)"', text)}
    return found


def test_the_table_above_has_every_class() -> None:
    assert set(BASES) == set(errors.__all__)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_is_a_state_error_and_the_builtin_that_people_catch(kind: type[errors.StateError]) -> None:
    assert issubclass(kind, errors.StateError)
    for base in BASES[kind.__name__]:
        assert issubclass(kind, base)
    builtins = {base for base in kind.__mro__ if base.__module__ == "builtins"} - {object, BaseException, Exception}
    expected = {ancestor for base in BASES[kind.__name__] for ancestor in base.__mro__}
    assert builtins == expected - {object, BaseException, Exception}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_error_shows_its_detail_and_survives_pickle_and_copy_with_every_field(
    kind: type[errors.StateError],
) -> None:
    # StorageFailed lost its errno.
    fields = FIELDS.get(kind.__name__, {})
    error = kind("what happened, and what to do", code="room.reason", **fields)
    error.add_note("a note")
    again = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for made in [error, *again, copy.copy(error), copy.deepcopy(error)]:
        assert type(made) is kind
        assert str(made) == made.detail == "what happened, and what to do"
        assert made.code == "room.reason"
        assert {name: getattr(made, name) for name in fields} == fields
        assert made.__notes__ == ["a note"]
        assert "what happened" in repr(made)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_fields_of_each_error_have_defaults_so_a_handler_never_fails(kind: type[errors.StateError]) -> None:
    error = kind()
    assert (error.detail, str(error)) == ("", "")
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", error.code)
    for name in FIELDS.get(kind.__name__, {}):
        assert hasattr(error, name)


def test_codes_are_room_and_reason() -> None:
    codes = raised_codes()
    assert len(codes) > 30
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", code) for code in codes)


def documented() -> dict[str, str]:
    """Docstrings of everything public, and of the errors."""
    found = {f"errors.{kind.__name__}": inspect.getdoc(kind) or "" for kind in CLASSES}
    found["errors"] = errors.__doc__ or ""
    for name in sk.__all__:
        thing = getattr(sk, name)
        found[name] = inspect.getdoc(thing) or ""
        if inspect.isclass(thing):
            found |= {f"{name}.{member}": inspect.getdoc(getattr(thing, member)) or "" for member in dir(thing)}
    stub = ROOT / "python" / "spellkeep" / "_core.pyi"
    found["_core.pyi"] = stub.read_text(encoding="utf-8")
    return found


def test_every_code_in_a_docstring_is_one_that_is_raised() -> None:
    codes = raised_codes()
    attributes = {"store.py", "store.read", "scope.kind", "value.decode", "value.encode", "store.scope"}
    unknown = {
        (name, code)
        for name, text in documented().items()
        for code in CODE.findall(text)
        if code not in codes | attributes
    }
    assert unknown == set()


def test_every_code_that_is_raised_belongs_to_a_family_that_its_class_names() -> None:
    said = "\n".join(inspect.getdoc(kind) or "" for kind in CLASSES)
    # An internal answer: a caller that may wait never sees it.
    internal = {"store.busy"}
    unsaid = {code for code in raised_codes() - internal if code not in said and f"{code.split('.')[0]}.*" not in said}
    assert unsaid == set()


def test_every_error_class_is_raised_somewhere() -> None:
    text = sources(".rs", ".py")
    for kind in CLASSES[:]:
        if kind is errors.StateError:
            continue
        name = kind.__name__
        assert re.search(rf'"{name}"|raise {name}\(|return {name}\(|{name}\(\n', text.replace(f"class {name}(", "")), (
            name
        )


def test_unknown_fields_of_an_error_are_kept_for_whoever_raised_it() -> None:
    error = errors.StateError("x", code="a.b", extra=1)
    assert vars(pickle.loads(pickle.dumps(error)))["extra"] == 1
