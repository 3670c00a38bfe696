"""Taking over the checkpoints of LangGraph's SQLite saver."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spellkeep.adapters.langgraph.foreign import ForeignReader
from spellkeep.adapters.langgraph.saver import SpellkeepSaver
from spellkeep.adapters.langgraph.types import tag_of
from spellkeep.errors import StateError
from spellkeep.value import registered_meanwhile

__all__ = ["ImportReport", "import_sqlite"]

Progress = Callable[[int, int], None]


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        thread_count, checkpoint_count, write_count: what is in the store now that was not.
        present_count: checkpoints that the store had already; they were left as they are.
        unknown: classes that this process was not given, and how many objects of them were met. They are kept inert.
        unread: what could not be taken over, each with the reason; nothing else is missing.
    """

    thread_count: int = 0
    checkpoint_count: int = 0
    write_count: int = 0
    present_count: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.checkpoint_count} checkpoints and {self.write_count} writes of {self.thread_count} threads; "
            f"{self.present_count} checkpoints were there already"
        ]
        lines += [f"kept inert: {count} of {name}" for name, count in sorted(self.unknown.items())]
        lines += [f"not read: {what}" for what in self.unread]
        return "\n".join(lines)


def import_sqlite(
    file: str | os.PathLike[str],
    saver: SpellkeepSaver,
    *,
    types: Iterable[type] = (),
    progress: Progress | None = None,
) -> ImportReport:
    """Copy all threads of a file that LangGraph's ``SqliteSaver`` wrote into a saver's store.

    The file is only read. Checkpoints keep their ids, parents, metadata, versions and pending writes. A checkpoint that
    the store has already is left as it is, so an import that was broken off can be run again.

    Args:
        types: classes whose objects the file holds, as for `allow`, but only while this call runs: give them to the
            saver that reads them, too. Others are kept as inert ``spellkeep.Tagged``.
        progress: called with the checkpoints done and all.
    Raises: FileNotFoundError; ValueError when it is no such file; what ``saver.put`` raises when the store fails.
    """
    types = tuple(types)
    if not Path(file).is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(file)!r}")
    report, reader = ImportReport(), ForeignReader(types)
    uri = f"{Path(file).absolute().as_uri()}?mode=ro"
    with _known(types, saver), closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (total,) = connection.execute("SELECT count(*) FROM checkpoints").fetchone()
            has_path = "task_path" in {row[1] for row in connection.execute("PRAGMA table_info(writes)")}
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{os.fspath(file)!r} is no file of LangGraph's SqliteSaver: {error}") from error
        last = None
        for done, row in enumerate(_rows(connection), start=1):
            if row["thread_id"] != last:
                last = row["thread_id"]
                report.thread_count += 1
            _take(row, connection, has_path, saver, reader, report)
            if progress is not None:
                progress(done, total)
    report.unknown = reader.unknown
    return report


@contextmanager
def _known(types: tuple[type, ...], saver: SpellkeepSaver) -> Iterator[None]:
    with registered_meanwhile({cls: tag_of(cls) for cls in types}):
        try:
            yield
        finally:
            # Nothing in memory may have objects of classes that are not known any more.
            saver._checkpoints.core.forget_all()


def _rows(connection: sqlite3.Connection) -> Iterator[sqlite3.Row]:
    connection.row_factory = sqlite3.Row
    # Ids of checkpoints are in the order of their making, so parents come first.
    yield from connection.execute("SELECT * FROM checkpoints ORDER BY thread_id, checkpoint_id, checkpoint_ns")


def _take(
    row: sqlite3.Row,
    connection: sqlite3.Connection,
    has_path: bool,
    saver: SpellkeepSaver,
    reader: ForeignReader,
    report: ImportReport,
) -> None:
    thread_id, ns, id = row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"]
    name = f"checkpoint {id} of thread {thread_id!r}" + (f", {ns}" if ns else "")
    here: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": id}}
    if saver.get_tuple(here) is not None:
        report.present_count += 1
        return
    try:
        checkpoint: Any = {**reader.read(row["type"], row["checkpoint"]), "id": id}
        metadata: Any = json.loads(row["metadata"]) if row["metadata"] else {}
        versions = dict(checkpoint["channel_versions"])
        parent: Any = {"configurable": {**here["configurable"], "checkpoint_id": row["parent_checkpoint_id"]}}
        saver.put(parent, checkpoint, metadata, versions)
    except (StateError, ValueError, TypeError, KeyError) as error:
        report.unread.append(f"{name}: {type(error).__name__}: {error}")
        return
    report.checkpoint_count += 1
    path = "task_path" if has_path else "''"
    query = (
        f"SELECT task_id, {path} AS path, idx, channel, type, value FROM writes "
        "WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx"
    )
    tasks: dict[tuple[str, str], list[Any]] = {}
    for write in connection.execute(query, (thread_id, ns, id)):
        try:
            value = reader.read(write["type"], write["value"])
        except (ValueError, TypeError, KeyError) as error:
            report.unread.append(f"write {write['idx']} of task {write['task_id']}, {name}: {error}")
            continue
        tasks.setdefault((write["task_id"], write["path"]), []).append((write["idx"], write["channel"], value))
    for (task, task_path), writes in tasks.items():
        saver.put_placed_writes(here, writes, task, task_path)
        report.write_count += len(writes)
