"""hooks ls|stats|history|retention|enable|disable|forget."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import counted, echo, echo_json, echo_table, plain, scalar, text_of

__all__ = ["hooks"]


@click.group()
def hooks() -> None:
    """Hooks: which ones ran on this store, how they did, and switching them off."""


@hooks.command()
@JSON
@click.pass_obj
def ls(target: Target, as_json: bool) -> None:
    """List the hooks that ever ran: name, whether it is switched on, version it came to, executions, failures.

    Before-hooks have no version: 0.
    """
    with target.reading() as state:
        shown = [(each, state.hooks.is_enabled(each.name)) for each in state.hooks.kept()]
    if as_json:
        rows = [
            {
                "name": each.name,
                "enabled": enabled,
                "position": each.position,
                "count": each.count,
                "failed_count": each.failed_count,
            }
            for each, enabled in shown
        ]
        echo_json({"hooks": rows})
        return
    echo_table(
        ("name", "switch", "version", "executions", "failures"),
        [
            (each.name, "on" if enabled else "off", str(each.position), str(each.count), str(each.failed_count))
            for each, enabled in shown
        ],
    )


@hooks.command()
@click.argument("name", required=False)
@JSON
@click.pass_obj
def stats(target: Target, name: str | None, as_json: bool) -> None:
    """Print the figures of hooks, or of one, as the last process that ran them left them."""
    with target.reading() as state:
        kept = [asdict(each) for each in state.hooks.kept() if name in (None, each.name)]
    if as_json:
        echo_json({"hooks": [plain(each) for each in kept]})
        return
    rows = [(f"{each['name']}.{figure}", scalar(value)) for each in kept for figure, value in each.items()]
    echo_table(("figure", "value"), [row for row in rows if not row[0].endswith(".name")])


@hooks.command()
@click.argument("name", required=False)
@click.option("--result", help="Only executions that ended so: proceeded, modified, cancelled, retry, skipped, failed.")
@click.option("--correlation", help="Only those for changes that are part of this.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@JSON
@click.pass_obj
def history(
    target: Target, name: str | None, result: str | None, correlation: str | None, limit: int, as_json: bool
) -> None:
    """Print executions, of one hook or of all, newest first."""
    with target.reading() as state:
        found = state.hooks.history(name, result=result, correlation=correlation, limit=limit)
    if as_json:
        rows = [each._asdict() | {"at": text_of(each.at), "digest": f"{each.digest:016x}"} for each in found]
        echo_json({"executions": [plain(row) for row in rows]})
        return
    echo_table(
        ("hook", "time", "version", "us", "result", "error"),
        [
            (each.hook, text_of(each.at), str(each.version), str(each.duration_us), each.result, each.error or "")
            for each in found
        ],
    )


class _NumberOrAll(click.ParamType[Any]):
    name = "number|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number; None for ``all``."""
        if value == "all":
            return None
        try:
            return int(value) if param is not None and param.name == "keep_count" else float(value)
        except ValueError:
            self.fail(f"{value!r} is no number, nor all", param, ctx)


@hooks.command()
@click.option("--keep-count", type=_NumberOrAll(), help="Executions of each hook.")
@click.option("--keep-days", type=_NumberOrAll(), help="Of so many days.")
@click.option("--keep-important-days", type=_NumberOrAll(), help="Important ones: changed, refused, retried, failed.")
@JSON
@click.pass_context
def retention(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Print how long executions are kept, after changing what is given."""
    target: Target = context.obj
    given = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    with target.changing() if given else target.reading() as state:
        kept = asdict(state.hooks.retention(**given))
    if as_json:
        echo_json(kept)
        return
    echo_table(("what", "kept"), [(name, "all" if value is None else scalar(value)) for name, value in kept.items()])


@hooks.command()
@click.argument("name")
@click.pass_obj
def enable(target: Target, name: str) -> None:
    """Switch a hook on, for the processes to come."""
    with target.changing() as state:
        state.hooks.enable(name)


@hooks.command()
@click.argument("name")
@click.pass_obj
def disable(target: Target, name: str) -> None:
    """Switch a hook off, for the processes to come, until it is enabled."""
    with target.changing() as state:
        state.hooks.disable(name)


@hooks.command()
@click.argument("name")
@click.pass_obj
def forget(target: Target, name: str) -> None:
    """Remove what is kept of a hook that is no more, so that the log need not wait for it."""
    with target.changing() as state:
        executions = state.hooks.forget(name)
    echo(f"forgot {name} and {counted(executions, 'execution')}")
