"""The command line as its users meet it: arguments in, output, errors and exit code out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from spellkeep.cli import cli


@dataclass(frozen=True)
class Result:
    """What came of one call."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be one document."""
        assert self.out, self
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The slug of its one line of error; nothing may be on stdout then."""
        assert self.code != 0
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("error[")
        return line[len("error[") : line.index("]")]


Spellkeep = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where the store is, or will be."""
    return tmp_path / "store"


@pytest.fixture
def spellkeep(store: Path, monkeypatch: pytest.MonkeyPatch) -> Spellkeep:
    """Calls the command line on `store`."""
    monkeypatch.delenv("SPELLKEEP_STORE", raising=False)

    def call(*arguments: object, stdin: str | bytes | None = None) -> Result:
        done = CliRunner().invoke(cli, ["--store", str(store), *map(str, arguments)], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return call
