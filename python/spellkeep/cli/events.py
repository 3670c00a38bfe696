"""events emit|ls."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import Any

import click

import spellkeep
from spellkeep import Change, StateScope
from spellkeep.cli.entries import from_stdin, parsed
from spellkeep.cli.opening import JSON, SCOPE, Target
from spellkeep.cli.output import echo_json, echo_table, one_line, plain, text_of

__all__ = ["events", "origin_of"]


def origin_of(change: Change) -> dict[str, Any]:
    """Where a change comes from, for JSON."""
    return {
        "correlation": change.correlation,
        "actor": change.actor,
        "tags": list(change.tags),
        "cause": change.cause,
    }


@click.group()
def events() -> None:
    """Events: records that say that something happened, and change no key."""


@events.command(context_settings={"ignore_unknown_options": True})
@click.argument("type_")
@click.argument("data", required=False)
@click.option("--scope", type=SCOPE, default=StateScope.GLOBAL, help="Whose event it is; without: global.")
@click.option("--correlation", metavar="ID", help="What it is part of.")
@click.option("--actor", metavar="NAME", help="Who asked for it.")
@click.option("--tag", "tags", metavar="NAME", multiple=True, help="To find it by; may be given several times.")
@click.option("--cause", type=click.IntRange(min=0), help="The version of what caused it.")
@JSON
@click.pass_obj
def emit(
    target: Target,
    type_: str,
    data: str | None,
    scope: StateScope,
    correlation: str | None,
    actor: str | None,
    tags: tuple[str, ...],
    cause: int | None,
    as_json: bool,
) -> None:
    """Record an event of TYPE with DATA, which is JSON, and print its version. DATA of - is read from stdin.

    The event is durable when the command has ended. With an actor or a tag and no correlation it gets a fresh one.
    """
    content = None if data is None else parsed(from_stdin() if data == "-" else data)
    with target.writing() as state, ExitStack() as stack:
        if correlation is not None or actor is not None or tags:
            stack.enter_context(spellkeep.correlate(correlation, actor=actor, tags=tags))
        version = state.events.emit(type_, content, scope=scope, cause=cause)
    if as_json:
        echo_json({"scope": str(scope), "type": type_, "version": version})
    else:
        click.echo(str(version))


@events.command()
@click.option("--scope", type=SCOPE, help="Only of this scope.")
@click.option("--type", "prefix", default="", metavar="PREFIX", help="Only types that start with this.")
@click.option("--correlation", metavar="ID", help="Only with this correlation id.")
@click.option("--since", type=click.IntRange(min=0), default=0, help="Only versions above this one.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most the last so many.")
@JSON
@click.pass_obj
def ls(
    target: Target,
    scope: StateScope | None,
    prefix: str,
    correlation: str | None,
    since: int,
    limit: int,
    as_json: bool,
) -> None:
    """List the events that the log has, oldest first.

    Not on a terminal: version, time, scope, type, correlation id and data, separated by tabs.
    """
    found: deque[tuple[Change, Any]] = deque(maxlen=limit)
    with target.reading() as state:
        for change in state.changes(since=since):
            if (
                change.operation == "event"
                and (change.key or "").startswith(prefix)
                and (scope is None or change.scope == scope)
                and (correlation is None or change.correlation == correlation)
            ):
                found.append((change, change.value))
    if as_json:
        shown = [
            {
                "version": event.version,
                "at": text_of(event.at),
                "scope": str(event.scope),
                "type": event.key,
                **origin_of(event),
                "data": plain(data),
            }
            for event, data in found
        ]
        echo_json({"events": shown})
        return
    table = [
        (
            str(event.version),
            text_of(event.at),
            str(event.scope),
            str(event.key),
            event.correlation or "",
            one_line(data),
        )
        for event, data in found
    ]
    echo_table(("version", "at", "scope", "type", "correlation", "data"), table)
