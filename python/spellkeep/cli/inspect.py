"""history, stats."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from spellkeep import Change, StateClass, StateScope
from spellkeep.cli.events import origin_of
from spellkeep.cli.failure import ANSWER_IS_NO, Failure
from spellkeep.cli.opening import JSON, SCOPE, Target
from spellkeep.cli.output import echo_json, echo_table, one_line, plain, scalar, text_of

__all__ = ["history", "stats"]


# The command line has no keys.
_SEALED = "[sealed]"


def _is_sealed(change: Change) -> bool:
    return change.state_class is StateClass.SENSITIVE


@click.command()
@click.argument("scope", type=SCOPE)
@click.argument("key")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many changes.")
@JSON
@click.pass_obj
def history(target: Target, scope: StateScope, key: str, limit: int, as_json: bool) -> None:
    """Print the committed changes of a key, newest first.

    Not on a terminal: version, time, operation and value, separated by tabs.
    """
    with target.reading() as state:
        changes = state.history(scope, key, limit=limit)
        if not changes:
            raise Failure("key.missing", f"{scope} never had a key {key!r}", ANSWER_IS_NO)
        rows = [(change, _SEALED if _is_sealed(change) else change.value) for change in changes]
    if as_json:
        shown = [
            {
                "version": change.version,
                "at": text_of(change.at),
                "operation": change.operation,
                "expires_at": text_of(change.expires_at) if change.expires_at else None,
                **origin_of(change),
                "state_class": change.state_class.name.lower() if change.operation == "set" else None,
                "value": plain(value),
            }
            for change, value in rows
        ]
        echo_json({"scope": str(scope), "key": key, "changes": shown})
        return
    table = []
    for change, value in rows:
        shown_value = one_line(value) if change.operation == "set" else ""
        table.append((str(change.version), text_of(change.at), change.operation, shown_value))
    echo_table(("version", "at", "operation", "value"), table)


def _figures(record: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(record)]
    return {name: getattr(record, name) for name in names}


@click.command()
@JSON
@click.pass_obj
def stats(target: Target, as_json: bool) -> None:
    """Print figures of the store, and what opening it found."""
    with target.reading() as state:
        figures = {"stats": _figures(state.stats()), "recovery": _figures(state.recovery)}
    if as_json:
        echo_json({part: plain(values) for part, values in figures.items()})
    else:
        rows = [(f"{part}.{name}", scalar(value)) for part, values in figures.items() for name, value in values.items()]
        echo_table(("figure", "value"), rows)
