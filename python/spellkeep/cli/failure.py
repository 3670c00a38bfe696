"""Errors as the shell sees them: one line ``error[code]: detail`` on stderr, and an exit code per thing one can do."""

from __future__ import annotations

import re
from typing import IO, Any

import click

from spellkeep.errors import (
    Conflict,
    Corrupted,
    InvalidKey,
    KeyMissing,
    LimitExceeded,
    NotSerializable,
    Poisoned,
    ReadOnly,
    StateError,
    StorageFailed,
    StoreLocked,
)

__all__ = ["ANSWER_IS_NO", "BROKEN_PIPE", "DAMAGED", "EXIT_CODES", "INTERRUPTED", "LOCKED", "NO_STORAGE", "USAGE"]
__all__ += ["Failure", "complain", "exit_code_of", "from_state_error"]

ANSWER_IS_NO = 1
USAGE = 2
DAMAGED = 3
LOCKED = 4
NO_STORAGE = 5
# What a shell reports for a program that the signal ended: 128 and the signal's number.
INTERRUPTED = 130
BROKEN_PIPE = 141

EXIT_CODES = """\b
Exit codes:
  0    done
  1    the answer is no: key missing, version conflict, bad lines, data lost
  2    the call is wrong: options, scope, key or value
  3    the store is damaged or poisoned
  4    another process has the store open
  5    there is no store, or the system refused (full disk, permission, ...)
  130  interrupted        141  nobody reads the output any more
"""

_BY_CLASS: tuple[tuple[tuple[type[StateError], ...], int], ...] = (
    ((KeyMissing, Conflict), ANSWER_IS_NO),
    ((InvalidKey, LimitExceeded, NotSerializable, ReadOnly), USAGE),
    ((Corrupted, Poisoned), DAMAGED),
    ((StoreLocked,), LOCKED),
    ((StorageFailed,), NO_STORAGE),
)

# Control characters, C1 and DEL among them, could drive the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Failure(click.ClickException):
    """Ends the command with one line on stderr."""

    def __init__(self, code: str, detail: str, exit_code: int) -> None:
        super().__init__(detail)
        self.code = code
        vars(self)["exit_code"] = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        complain(f"error[{self.code}]: {self.message}")


def complain(line: str) -> None:
    """Print one line on stderr, whatever it holds."""
    printable = _CONTROL.sub(" ", line).encode("utf-8", "backslashreplace").decode()
    click.echo(printable, err=True)


def exit_code_of(error: StateError) -> int:
    """The exit code that stands for an error of the store."""
    return next((code for classes, code in _BY_CLASS if isinstance(error, classes)), ANSWER_IS_NO)


def from_state_error(error: StateError) -> Failure:
    """The failure that a command ends with when the store raised ``error``."""
    return Failure(error.code, error.detail or type(error).__name__, exit_code_of(error))
