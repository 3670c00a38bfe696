"""Opening the store that ``--store`` names. What only reads changes nothing in the directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

import spellkeep
from spellkeep import StateManager, StateScope
from spellkeep.cli.failure import NO_STORAGE, Failure, complain

__all__ = ["JSON", "SCOPE", "Target", "is_store"]

# The files of which a store has at least one (docs/format.md). A directory with none of them is no store, and one with
# only some of them is for `open` to judge.
_MARKS = ("MANIFEST", "segments", "ring")


def is_store(path: str | os.PathLike[str]) -> bool:
    """Whether the directory holds a store, whole or not."""
    return any((Path(path) / name).exists() for name in _MARKS)


@dataclass(frozen=True)
class Target:
    """The store that the commands work on."""

    path: str | None

    def _named(self) -> str:
        if not self.path:
            raise click.UsageError("say which store: spellkeep --store PATH ..., or set SPELLKEEP_STORE")
        return self.path

    def existing(self) -> str:
        """The path, where there is a store. Raises: Failure (store.missing) where there is none."""
        path = self._named()
        if path != "memory:":
            if Path(path).exists() and not Path(path).is_dir():
                raise Failure("storage.not_a_directory", f"{path} is not a directory", NO_STORAGE)
            if not is_store(path):
                raise Failure("store.missing", f"there is no store in {path}; `set` and `ingest` make one", NO_STORAGE)
        return path

    @contextmanager
    def reading(self, *, allow_replay: bool = False) -> Iterator[StateManager]:
        """The store, open for looking only, also while another process writes it; then a line on stderr says so."""
        with spellkeep.open(self.existing(), read_only=True, allow_replay=allow_replay) as state:
            if state.recovery.live:
                complain("note: the store is open elsewhere; this is what it held a moment ago")
            yield state

    @contextmanager
    def changing(self, *, allow_replay: bool = False) -> Iterator[StateManager]:
        """The store, open. Raises: Failure (store.missing) where there is none, and makes nothing then."""
        with spellkeep.open(self.existing(), allow_replay=allow_replay) as state:
            yield state

    @contextmanager
    def writing(self) -> Iterator[StateManager]:
        """The store, open; made when there is none. What was written is durable when the block ends."""
        with spellkeep.open(self._named()) as state:
            yield state


class _Scope(click.ParamType[StateScope]):
    name = "scope"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StateScope:
        """The scope that the text names; InvalidKey is left to the group."""
        return value if isinstance(value, StateScope) else StateScope.parse(value)


SCOPE = _Scope()
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs (docs/guide/cli.md).")
