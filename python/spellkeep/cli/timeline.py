"""timeline and why: what happened, and what caused it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from spellkeep import StateScope
from spellkeep.cli.failure import NO_STORAGE, Failure, complain
from spellkeep.cli.opening import JSON, SCOPE, Target
from spellkeep.cli.output import counted, echo, echo_json
from spellkeep.timeline import Timeline, chrome_trace, html_page, json_lines, mermaid, otlp

__all__ = ["timeline", "why"]


class _Moment(click.ParamType[Any]):
    name = "version or time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime:
        """A version, or a time in ISO 8601 (UTC when it names no zone)."""
        if isinstance(value, int | datetime):
            return value
        if value.isascii() and value.isdigit():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a version nor a time such as 2026-11-22T10:00:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_FORMATS: dict[str, Callable[[Timeline], str]] = {
    "jsonl": lambda found: "".join(f"{line}\n" for line in json_lines(found)),
    "chrome": lambda found: json.dumps(chrome_trace(found)),
    "otlp": lambda found: json.dumps(otlp(found)),
    "mermaid": mermaid,
    "html": html_page,
    "text": lambda found: f"{found}\n",
}


@click.command()
@click.argument("correlation", required=False)
@click.option("--scope", type=SCOPE, help="Only what happened in this scope.")
@click.option("--agent", help="Only what happened to this agent.")
@click.option("--type", "types", multiple=True, help="Only this type of event or operation; may be given again.")
@click.option("--since", type=_Moment(), help="Only from this version or time on.")
@click.option("--until", type=_Moment(), help="Only up to this version or time.")
@click.option("--limit", type=click.IntRange(min=0), help="Only so many, the newest.")
@click.option("--stats", "only_stats", is_flag=True, help="Figures instead of changes.")
@click.option("--critical", is_flag=True, help="Only the chain that took longest.")
@click.option("--format", "form", type=click.Choice(tuple(_FORMATS)), default="text", help="How to write it.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="To this file, and not to stdout.")
@JSON
@click.pass_obj
def timeline(
    target: Target,
    correlation: str | None,
    scope: StateScope | None,
    agent: str | None,
    types: tuple[str, ...],
    since: Any,
    until: Any,
    limit: int | None,
    only_stats: bool,
    critical: bool,
    form: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what happened, in order, each cause above what it caused.

    CORRELATION is the id that the records of one piece of work share. Values are not shown. For programs: --json, which
    is --format jsonl, or chrome (also for Perfetto), otlp, mermaid; for people html.
    """
    if scope is not None and agent is not None:
        raise click.UsageError("--scope and --agent: an agent is a scope, give one of them")
    with target.reading() as state:
        found = state.timeline(
            correlation=correlation,
            scope=scope,
            agent=agent,
            types=types or None,
            since=since,
            until=until,
            limit=limit,
        )
        if only_stats:
            stats = found.stats()
            figures = {name: getattr(stats, name) for name in stats.__dataclass_fields__}
            if as_json:
                echo_json(figures)
            else:
                for name, figure in figures.items():
                    shown = (
                        ", ".join(f"{key} {count:,}" for key, count in figure.items())
                        if isinstance(figure, dict)
                        else figure
                    )
                    echo(f"{name.replace('_', ' ')}: {shown}")
            return
        if critical:
            found = type(found)(found.critical_path())
        text = _FORMATS["jsonl" if as_json else form](found)
    if output is None:
        if text.strip():
            echo(text.rstrip("\n"))
        if not found:
            complain("note: nothing was found, as far as the log goes back (keep_log_days, keep_log_bytes)")
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise Failure("storage.io", f"cannot write {output}: {error.strerror}", NO_STORAGE) from error
        echo(f"{counted(len(found), 'change')} to {output}")


@click.command()
@click.argument("scope", type=SCOPE)
@click.argument("key")
@JSON
@click.pass_obj
def why(target: Target, scope: StateScope, key: str, as_json: bool) -> None:
    """Show what caused the current value of a key, back to where it began."""
    from spellkeep.timeline.export import row_of

    with target.reading() as state:
        found = state.why(scope, key)
        if as_json:
            rows = [row_of(change, len(found) - 1 - at) for at, change in enumerate(found)]
            echo_json({"chain": rows, "lost_cause": found.lost})
        else:
            echo(str(found))
