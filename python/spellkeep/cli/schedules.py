"""replay schedule add|ls|rm|run-due: replays that are run later."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any

import click

from spellkeep.cli.failure import ANSWER_IS_NO, USAGE, Failure
from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import echo, echo_json, echo_table, plain, text_of
from spellkeep.cli.replay import MOMENT, parameters_of, replay, selecting
from spellkeep.replay import Schedule, ScheduledRun

__all__ = ["schedule"]


@replay.group()
def schedule() -> None:
    """Replays that are run later, once or again and again.

    A process that has the store open with allow_replay=True runs them with the hooks that it has registered; run-due
    runs them with hooks that it is given.
    """


@schedule.command("add")
@click.argument("name")
@click.option("--at", type=MOMENT, help="Once, at this time.")
@click.option("--after", "after_s", type=float, metavar="SECONDS", help="Once, so many seconds from now.")
@click.option("--every", "every_s", type=float, metavar="SECONDS", help="Every so many seconds.")
@click.option("--cron", help="Minute, hour, day of month, month, day of week: '30 2 * * *'.")
@click.option("--zone", default="UTC", show_default=True, help="The time zone of --cron.")
@click.option(
    "--mode", type=click.Choice(["verify", "substitute", "what_if", "simulate"]), default="verify", show_default=True
)
@click.option("--run-hook", "hooks", multiple=True, help="Of --mode substitute: a hook that runs; may be given again.")
@click.option("--set", "parameters", multiple=True, help="Of --mode what_if: value.amount=5")
@click.option("--ignore", multiple=True, help="A place of the answer that does not count: value.at")
@click.option("--timeout", "timeout_s", type=float, default=3600.0, show_default=True, help="Seconds for one run.")
@selecting
@click.pass_obj
def add(
    target: Target, /, name: str, hooks: tuple[str, ...], parameters: tuple[str, ...], ids: tuple[str, ...], **how: Any
) -> None:
    """Schedule a replay, in place of the one that has this name."""
    with target.changing() as state:
        try:
            made = state.replay.schedule(
                name, hooks=hooks or None, parameters=parameters_of(parameters) or None, ids=ids or None, **how
            )
        except (TypeError, ValueError) as error:
            if hasattr(error, "code"):
                raise
            raise click.UsageError(_as_options(str(error))) from None
    echo(f"{name}: {made.when}, next {_time(made.next_at)}")


def _as_options(text: str) -> str:
    for argument, option in (("at=", "--at"), ("after_s=", "--after"), ("every_s=", "--every"), ("cron=", "--cron")):
        text = text.replace(argument, option)
    return text.replace("hooks=", "--run-hook").replace("parameters=", "--set").replace("mode=", "--mode ")


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else text_of(moment)


def _shown(each: Schedule, last: list[ScheduledRun]) -> dict[str, Any]:
    return {
        "name": each.name,
        "when": str(each.when),
        "mode": each.mode,
        "selection": plain(each.selection.document()),
        "next_at": None if each.next_at is None else text_of(each.next_at),
        "running": each.running_since is not None,
        "run_count": each.run_count,
        "runs": [_document(run) for run in last],
    }


def _document(run: ScheduledRun) -> dict[str, Any]:
    return run.document() | {"due_at": text_of(run.due_at), "began_at": text_of(run.began_at)}


@schedule.command("ls")
@click.argument("name", required=False)
@JSON
@click.pass_obj
def ls(target: Target, name: str | None, as_json: bool) -> None:
    """List the schedules, or the last runs of one, newest first."""
    with target.reading() as state:
        found = [(each, state.replay.runs(each.name)) for each in state.replay.schedules() if name in (None, each.name)]
    if name is not None and not found:
        raise Failure("replay.missing", f"there is no schedule {name!r}", ANSWER_IS_NO)
    if as_json:
        echo_json({"schedules": [_shown(each, runs) for each, runs in found]})
    elif name is None:
        echo_table(
            ("name", "mode", "when", "next", "last"),
            [
                (each.name, each.mode, str(each.when), _time(each.next_at), runs[0].result if runs else "-")
                for each, runs in found
            ],
        )
    else:
        head = ("run", "due", "began", "missed", "result", "error")
        echo_table(head, [_row(run) for run in found[0][1]])


def _row(run: ScheduledRun) -> tuple[str, ...]:
    times = (_time(run.due_at), _time(run.began_at))
    return (str(run.number), *times, str(run.missed_count), run.result, run.error or "")


@schedule.command("rm")
@click.argument("name")
@click.pass_obj
def rm(target: Target, name: str) -> None:
    """Remove a schedule and its results."""
    with target.changing() as state:
        state.replay.cancel(name)


@schedule.command("run-due")
@click.option(
    "--hook-from",
    "places",
    multiple=True,
    metavar="[NAME=]MODULE:ATTRIBUTE",
    help="What to run in place of the hook NAME, or of all; may be given again.",
)
@JSON
@click.pass_obj
def run_due(target: Target, places: tuple[str, ...], as_json: bool) -> None:
    """Run what is due and end. For the system's cron; where another process has the store open, that one runs it.

    The exit code is 1 when something is not as it was recorded, nothing could be run or a run failed, and 2 when a
    hook is missing: what needs it stays due.
    """
    sys.path.insert(0, os.getcwd())
    # Whoever gives this command wants the hooks to run.
    with target.changing(allow_replay=True) as state:
        done = state.replay.run_due(_hooks(places), isolate=bool(places))
        missing = dict.fromkeys(name for each in state.replay.schedules() for name in each.waits_for)
    if as_json:
        echo_json({"runs": [_document(run) for run in done], "waits_for": list(missing)})
    else:
        for run in done:
            echo(str(run))
    if missing:
        raise Failure("replay.hook", f"{', '.join(missing)}: say --hook-from NAME=module:attribute", USAGE)
    if not all(run.ok for run in done):
        raise click.exceptions.Exit(ANSWER_IS_NO)


def _hooks(places: tuple[str, ...]) -> Any:
    named = dict(place.split("=", 1) for place in places if "=" in place)
    for_all = [place for place in places if "=" not in place]
    if for_all and len(places) > 1:
        raise click.UsageError("--hook-from module:attribute is for all hooks: give it alone, or NAME=module:attribute")
    return for_all[0] if for_all else named or None
