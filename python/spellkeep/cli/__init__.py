"""The command line: ``spellkeep --store PATH COMMAND``.

A leaf: it uses nothing but the public API. One file per group of commands:

    entries     get set ls rm
    inspect     history stats
    verifying   verify salvage
    ingest      conversations from a file (what a line of it may be: conversations)
    agents      agent ls show versions diff fork restore tag prune rm
    events      events emit ls
    timeline    timeline why
    sessions    sessions
    hooks       hooks ls stats history retention enable disable forget
    replay      replay ls run compare
    schedules   replay schedule add ls rm run-due
    demo        kill a worker again and again, and compare

``root`` has the options before the command, ``opening`` opens stores, ``failure`` turns errors into exit codes, and
``output`` prints. Source: docs/guide/cli.md.
"""

from __future__ import annotations

from spellkeep.cli.agents import agent
from spellkeep.cli.demo.command import demo
from spellkeep.cli.entries import get, ls, rm, set_
from spellkeep.cli.events import events
from spellkeep.cli.hooks import hooks
from spellkeep.cli.ingest import ingest
from spellkeep.cli.inspect import history, stats
from spellkeep.cli.replay import replay
from spellkeep.cli.root import cli
from spellkeep.cli.schedules import schedule
from spellkeep.cli.sessions import sessions
from spellkeep.cli.timeline import timeline, why
from spellkeep.cli.verifying import salvage, verify

__all__ = ["cli", "main", "schedule"]

for _command in (
    *(get, set_, ls, rm, history, stats, verify, salvage, ingest, agent),
    *(events, hooks, sessions, timeline, why, replay, demo),
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line on ``sys.argv`` and leave with its exit code."""
    cli.main(prog_name="spellkeep")
