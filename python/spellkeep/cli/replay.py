"""replay ls|run|compare: what hooks did, done again."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from datetime import UTC, datetime
from typing import Any

import click

from spellkeep import StateManager
from spellkeep.cli.failure import ANSWER_IS_NO, Failure
from spellkeep.cli.opening import JSON, SCOPE, Target
from spellkeep.cli.output import counted, echo, echo_json, echo_table, text_of
from spellkeep.hooks import Execution
from spellkeep.hooks.log import OUTCOMES
from spellkeep.replay import Path, compare, find

__all__ = ["MOMENT", "parameters_of", "replay", "selecting"]


class _Moment(click.ParamType[datetime]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """A time in ISO 8601; UTC when it names no zone."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-22T10:00:00", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


MOMENT = _Moment()


def selecting(command: Any) -> Any:
    """The options that say which executions."""
    for option in reversed(
        (
            click.option("--id", "ids", multiple=True, help="Only this execution; may be given again."),
            click.option("--hook", help="Only of the hook of this name."),
            click.option("--correlation", help="Only with this correlation id."),
            click.option("--scope", type=SCOPE, help="Only in this scope."),
            click.option("--since", type=MOMENT, help="Only written from this time on."),
            click.option("--until", type=MOMENT, help="Only written before this time."),
            click.option("--result", type=click.Choice(OUTCOMES), help="Only with this result."),
            click.option("--limit", type=click.IntRange(min=0), default=1000, help="At most so many, the newest."),
        )
    ):
        command = option(command)
    return command


def _select(state: StateManager, ids: tuple[str, ...], **selected: Any) -> list[Execution]:
    return state.replay.select(ids=ids or None, **selected)


@click.group()
def replay() -> None:
    """Find what hooks did, and do it again where it touches nothing."""


@replay.command("ls")
@selecting
@JSON
@click.pass_obj
def ls(target: Target, /, as_json: bool, **selected: Any) -> None:
    """List recorded executions, the oldest first. Inputs are not shown."""
    with target.reading() as state:
        found = _select(state, **selected)
    if as_json:
        echo_json(
            [
                {
                    "id": each.id,
                    "hook": each.hook,
                    "at": text_of(each.at),
                    "version": each.version,
                    "result": each.result,
                    "error": each.error,
                    "duration_us": each.duration_us,
                }
                for each in found
            ]
        )
        return
    rows = [
        (each.id, text_of(each.at), str(each.version or "-"), each.result, each.error or "", f"{each.duration_us:,} us")
        for each in found
    ]
    echo_table(("id", "written", "version", "result", "error", "took"), rows)


def parameters_of(given: tuple[str, ...]) -> dict[Path, Any]:
    """What ``--set PATH=VALUE`` says."""
    parameters: dict[Path, Any] = {}
    for each in given:
        path, is_one, text = each.partition("=")
        if not is_one:
            raise click.BadParameter(f"{each!r} is not PATH=VALUE", param_hint="--set")
        try:
            parameters[path] = json.loads(text)
        except ValueError:
            # A word without quotes is itself.
            parameters[path] = text
    return parameters


@replay.command("run")
@selecting
@click.option("--hook-from", "place", required=True, help="What to run: module:attribute.")
@click.option("--ignore", multiple=True, help="A place of the answer that does not count: value.at")
@click.option("--set", "parameters", multiple=True, help="What if: value.amount=5. Then it runs in this process.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=pathlib.Path), help="Keep the report, for compare.")
@JSON
@click.pass_obj
def run(
    target: Target,
    /,
    place: str,
    ignore: tuple[str, ...],
    parameters: tuple[str, ...],
    output: pathlib.Path | None,
    as_json: bool,
    **selected: Any,
) -> None:
    """Run a hook again on what was recorded, twice, in other processes, and compare.

    The exit code is 1 when something is not as it was recorded. The store is only read.
    """
    # Hooks are looked for where the command is given, as `python -m` does.
    sys.path.insert(0, os.getcwd())
    # Whoever gives this command wants the hook to run.
    with target.reading(allow_replay=True) as state:
        found = _select(state, **selected)
        if parameters:
            try:
                hook = find(place)
            except (ImportError, AttributeError, ValueError) as error:
                raise click.BadParameter(str(error), param_hint="--hook-from") from None
            report = state.replay.what_if(found, parameters_of(parameters), hook=hook, ignore=ignore)
        else:
            report = state.replay.verify(found, hook=place, isolate=True, ignore=ignore)
    document = report.document()
    if output is not None:
        output.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if as_json:
        echo_json(document)
    else:
        echo(str(report))
    if report.first_divergence is not None:
        raise click.exceptions.Exit(ANSWER_IS_NO)


@replay.command("compare")
@click.argument("left", type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path))
@click.argument("right", type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path))
@click.option("--ignore", multiple=True, help="A place of an answer that does not count: value.at")
@JSON
def compare_reports(left: pathlib.Path, right: pathlib.Path, ignore: tuple[str, ...], as_json: bool) -> None:
    """Compare the answers of two reports of `replay run --output`, as of two versions of a hook.

    The exit code is 1 when they differ.
    """
    sides = [_answers(path) for path in (left, right)]
    found = {id: compare(sides[0].get(id), sides[1].get(id), ignore=ignore) for id in {**sides[0], **sides[1]}}
    differing = {id: each for id, each in found.items() if not each.same}
    score = sum(each.score for each in found.values()) / len(found) if found else None
    if as_json:
        differences = {id: [str(one) for one in each.differences] for id, each in differing.items()}
        echo_json({"compared": len(found), "score": score, "differences": differences})
    else:
        similarity = "" if score is None else f"; similarity {score:.3f}"
        echo(f"{counted(len(found), 'execution')}, {len(differing):,} with another answer{similarity}")
        for id, each in differing.items():
            echo(id)
            for one in each.differences:
                echo(f"    {one}")
    if differing:
        raise click.exceptions.Exit(ANSWER_IS_NO)


def _answers(path: pathlib.Path) -> dict[str, Any]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))["items"]
        return {item["id"]: item["replayed"] for item in items if "replayed" in item}
    except (ValueError, KeyError, TypeError):
        raise Failure("replay.report", f"{path} is no report of replay run --output", 2) from None
