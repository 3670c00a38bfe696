"""verify, salvage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

import spellkeep
from spellkeep import Damage
from spellkeep.cli.failure import ANSWER_IS_NO, complain
from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import counted, echo_json

__all__ = ["damage_document", "salvage", "say_size", "verify"]

# Below this it takes no longer than a person waits without asking.
_LARGE_BYTES = 256 << 20


def damage_document(damage: Damage) -> dict[str, Any]:
    """A damage for programs."""
    return {
        "file": damage.file,
        "offset": damage.offset,
        "length_bytes": damage.length_bytes,
        "what": damage.what,
        "last_good_version": damage.last_good_version,
        "next_good_version": damage.next_good_version,
    }


def say_size(path: str) -> None:
    """Tell a person at a terminal how much there is to read when it takes a while."""
    size = sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file())
    if size >= _LARGE_BYTES and sys.stderr.isatty():
        complain(f"reading {size >> 20:,} MiB ...")


@click.command()
@click.argument("path", type=click.Path(), required=False)
@JSON
@click.pass_obj
def verify(target: Target, path: str | None, as_json: bool) -> None:
    """Read every byte of the store (PATH, or --store) and say what is not as it was written.

    Nothing is changed, and another process may have the store open. The exit code is 1 when something is damaged.
    """
    path = (Target(path) if path else target).existing()
    say_size(path)
    report = spellkeep.verify(path)
    if as_json:
        echo_json(
            {
                "ok": report.ok,
                "file_count": report.file_count,
                "byte_count": report.byte_count,
                "record_count": report.record_count,
                "row_count": report.row_count,
                "last_version": report.last_version,
                "duration_ms": report.duration_ms,
                "damages": [damage_document(damage) for damage in report.damages],
            }
        )
    else:
        for damage in report.damages:
            click.echo(str(damage))
        read = f"{counted(report.file_count, 'file')}, {counted(report.record_count, 'record')}"
        found = "no damage" if report.ok else counted(len(report.damages), "damage")
        click.echo(f"{read}, {counted(report.row_count, 'snapshot row')}, up to version {report.last_version}: {found}")
    if not report.ok:
        raise click.exceptions.Exit(ANSWER_IS_NO)


@click.command()
@click.argument("path", type=click.Path())
@click.argument("new_path", type=click.Path())
@JSON
def salvage(path: str, new_path: str, as_json: bool) -> None:
    """Write everything that is whole of the store in PATH into a new store in NEW_PATH.

    PATH is not changed. NEW_PATH must be new or empty. Versions are counted anew.
    """
    Target(path).existing()
    say_size(path)
    report = spellkeep.salvage(path, new_path)
    if as_json:
        echo_json(
            {
                "record_count": report.record_count,
                "row_count": report.row_count,
                "key_count": report.key_count,
                "last_version": report.last_version,
                "new_last_version": report.new_last_version,
                "damages": [damage_document(damage) for damage in report.damages],
            }
        )
        return
    for damage in report.damages:
        click.echo(str(damage))
    taken = f"{counted(report.record_count, 'record')} and {counted(report.row_count, 'snapshot row')}"
    click.echo(f"{new_path}: {taken}, {counted(report.key_count, 'key')}, {counted(len(report.damages), 'damage')}")
