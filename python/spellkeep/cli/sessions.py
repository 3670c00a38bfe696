"""sessions."""

from __future__ import annotations

from typing import Any

import click

from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import echo_json, echo_table, plain
from spellkeep.redaction import Redactor

__all__ = ["sessions"]


@click.command()
@click.argument("session_id", required=False)
@click.option("--status", type=click.Choice(("open", "ok", "failed")), help="Only those.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many.")
@JSON
@click.pass_obj
def sessions(target: Target, session_id: str | None, status: Any, limit: int, as_json: bool) -> None:
    """List sessions, of one id or of all, newest first: id, status, beginning, seconds, error, actor.

    Whether the process of an open one is still there, the store does not say.
    """
    with target.reading() as state:
        found = state.sessions(session_id, status=status, limit=limit)
    if as_json:
        redactor = Redactor()
        rows = [
            each._asdict()
            | {"started_at": each.started_at.isoformat(), "metadata": redactor.value(each.metadata)}
            | ({} if each.ended_at is None else {"ended_at": each.ended_at.isoformat()})
            for each in found
        ]
        echo_json({"sessions": [plain(row) for row in rows]})
        return
    echo_table(
        ("id", "status", "since", "seconds", "error", "actor"),
        [
            (
                each.id,
                each.status,
                each.started_at.isoformat(timespec="seconds"),
                "" if each.duration_s is None else f"{each.duration_s:.3f}",
                each.error or "",
                each.actor or "",
            )
            for each in found
        ],
    )
