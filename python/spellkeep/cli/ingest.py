"""ingest: conversations from a file into session scopes.

Afterwards the scope ``session:<conversation_id>`` holds the conversation: ``metadata`` (the line's other members) and
one record per message, ``message/000000`` onwards. Each conversation is one batch. What is there already and equal is
not written again, so a second run writes nothing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import click

from spellkeep import StateManager, StateScope
from spellkeep.cli.conversations import LINE_BYTES_MAX, BadLine, Conversation, message_key, read_lines
from spellkeep.cli.failure import ANSWER_IS_NO, Failure, complain
from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import counted, echo_json
from spellkeep.errors import KeyMissing, LimitExceeded, NotSerializable
from spellkeep.value import encode

__all__ = ["ingest"]

_REPORTED_MAX = 100
# Shorter inputs are over before a bar could be read.
_PROGRESS_FROM_BYTES = 1 << 20


@dataclass
class _Summary:
    conversation_count: int = 0
    message_count: int = 0
    written_count: int = 0
    unchanged_count: int = 0
    removed_count: int = 0
    skipped_line_count: int = 0
    last_version: int = 0


class _Reporter:
    """Bad lines, by number, on stderr."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def report(self, bad: BadLine) -> None:
        self.count += 1
        if self.count <= _REPORTED_MAX:
            complain(f"{self.name}:{bad.line}: {bad.code}: the line {bad.detail}")

    def total(self) -> None:
        if self.count > _REPORTED_MAX:
            complain(f"{self.name}: and {self.count - _REPORTED_MAX} more bad lines")


@contextmanager
def _seekable(name: str) -> Iterator[IO[bytes]]:
    """The file, to be read twice. A pipe is copied first."""
    with click.open_file(name, "rb") if name == "-" else Path(name).open("rb") as source:
        if source.seekable():
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            yield copy


@contextmanager
def _progress(total_bytes: int) -> Iterator[Callable[[int], object]]:
    """What to tell how far it has come. Shows a bar for long inputs, when stderr is a terminal."""
    if total_bytes < _PROGRESS_FROM_BYTES or not sys.stderr.isatty():
        yield lambda done_bytes: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("ingest", total=total_bytes)
        yield lambda done_bytes: bar.update(task, completed=done_bytes)


def _check(source: IO[bytes], line_bytes_max: int, reporter: _Reporter) -> int:
    """Read everything once, before anything is written. Returns: the number of bytes."""
    total_bytes = 0
    for line in read_lines(source, line_bytes_max):
        total_bytes = line.end_bytes
        if isinstance(line, BadLine):
            reporter.report(line)
    reporter.total()
    return total_bytes


def _differs(state: StateManager, scope: StateScope, key: str, wanted: Any) -> bool:
    try:
        # Bytes and not ==, for which 1, 1.0 and True are the same.
        return encode(state.entry(scope, key).value) != encode(wanted)
    except KeyMissing:
        return True


def _store(state: StateManager, conversation: Conversation, summary: _Summary) -> None:
    scope = StateScope.session(conversation.conversation_id)
    wanted: dict[str, Any] = {"metadata": conversation.metadata}
    wanted.update((message_key(index), message) for index, message in enumerate(conversation.messages))
    changed = [key for key, value in wanted.items() if _differs(state, scope, key, value)]
    surplus = [key for key in state.list_keys(scope, "message/") if key not in wanted]
    if changed or surplus:
        with state.batch() as batch:
            for key in changed:
                batch.set(scope, key, wanted[key])
            for key in surplus:
                batch.delete(scope, key)
    summary.conversation_count += 1
    summary.message_count += len(conversation.messages)
    summary.written_count += len(changed)
    summary.unchanged_count += len(wanted) - len(changed)
    summary.removed_count += len(surplus)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--skip-bad", is_flag=True, help="Leave out lines that cannot be read, instead of writing nothing.")
@click.option("--line-bytes-max", type=click.IntRange(min=1), default=LINE_BYTES_MAX, show_default=True)
@JSON
@click.pass_obj
def ingest(target: Target, file: str, skip_bad: bool, line_bytes_max: int, as_json: bool) -> None:
    """Store the conversations of FILE, one JSON object a line; - is stdin.

    Each line has a conversation_id and messages, a list of objects. They go to the scope session:CONVERSATION_ID, as
    message/000000, message/000001, ...; all other members of the line go to metadata. One conversation is stored whole
    or not at all, and one that is there already is not written again.

    Every line is checked before the first is written. Lines that cannot be read are reported by number.
    """
    reporter, summary = _Reporter(file), _Summary()
    with _seekable(file) as source:
        total_bytes = _check(source, line_bytes_max, reporter)
        if reporter.count and not skip_bad:
            what = f"{counted(reporter.count, 'bad line')}, nothing was written; --skip-bad leaves them out"
            raise Failure("ingest.bad_lines", what, ANSWER_IS_NO)
        source.seek(0)
        with target.writing() as state, _progress(total_bytes) as advance:
            for line in read_lines(source, line_bytes_max):
                if isinstance(line, BadLine):
                    summary.skipped_line_count += 1
                    continue
                try:
                    _store(state, line, summary)
                except (LimitExceeded, NotSerializable) as error:
                    # Only the encoder knows, so such a line is found on its turn.
                    reporter.report(BadLine(line.line, line.end_bytes, error.code, f"is refused: {error.detail}"))
                    if not skip_bad:
                        stopped = f"stopped at line {line.line}; the {summary.conversation_count} before are stored"
                        raise Failure("ingest.bad_lines", stopped, ANSWER_IS_NO) from None
                    summary.skipped_line_count += 1
                advance(line.end_bytes)
            summary.last_version = state.last_version
    if as_json:
        echo_json(asdict(summary))
    else:
        click.echo(
            f"{counted(summary.conversation_count, 'conversation')} with {counted(summary.message_count, 'message')}: "
            f"{counted(summary.written_count, 'record')} written, {summary.unchanged_count:,} unchanged, "
            f"{summary.removed_count:,} removed, {counted(summary.skipped_line_count, 'line')} skipped"
        )
