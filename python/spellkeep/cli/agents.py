"""agent ls|show|versions|diff|fork|restore|tag|prune|rm."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from spellkeep import StateManager
from spellkeep.agent import Agent, AgentView, Retention
from spellkeep.cli.failure import ANSWER_IS_NO, Failure
from spellkeep.cli.opening import JSON, Target
from spellkeep.cli.output import counted, echo, echo_json, echo_table, one_line, plain, text_of

__all__ = ["agent"]

_LINE = 100


class _When(click.ParamType[Any]):
    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | datetime | str:
        """A version, a time in ISO 8601 (UTC when it names no zone), or else a tag."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        if value.isascii() and value.isdigit():
            return int(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_WHEN = _When()


@click.group()
def agent() -> None:
    """Agents: their conversations, variables, versions and forks.

    A version is a number, a time such as 2026-11-22T10:00:00, or a tag.
    """


def _existing(state: StateManager, agent_id: str) -> Agent:
    found = state.agent(agent_id)
    if not found.exists:
        raise Failure("key.missing", f"there is no agent {agent_id!r}; `agent ls` lists them", ANSWER_IS_NO)
    return found


@agent.command()
@JSON
@click.pass_obj
def ls(target: Target, as_json: bool) -> None:
    """List the agents: id, messages, status, time of the last save."""
    with target.reading() as state:
        rows = []
        for agent_id in state.list_saved_agents():
            each = state.agent(agent_id)
            modified = each.modified_at
            rows.append((agent_id, len(each.messages), each.status, text_of(modified) if modified else ""))
    if as_json:
        names = ("id", "message_count", "status", "modified_at")
        echo_json({"agents": [dict(zip(names, row, strict=True)) for row in rows]})
    else:
        echo_table(("agent", "messages", "status", "modified"), [tuple(map(str, row)) for row in rows])


@agent.command()
@click.argument("agent_id")
@click.option("--at", "when", type=_WHEN, help="As it was at this version.")
@click.option("--last", type=click.IntRange(min=0), help="Only so many messages, from the end.")
@JSON
@click.pass_obj
def show(target: Target, agent_id: str, when: Any, last: int | None, as_json: bool) -> None:
    """Print the state of an agent."""
    with target.reading() as state:
        found: AgentView = _existing(state, agent_id)
        view = found if when is None else found.at(when)  # type: ignore[attr-defined]
        shown = view.to_dict()
    if last is not None and isinstance(shown.get("messages"), list):
        shown["messages"] = shown["messages"][len(shown["messages"]) - last :] if last else []
    if as_json:
        echo_json({"id": agent_id, "state": plain(shown)})
        return
    for name, part in shown.items():
        if name == "messages" and isinstance(part, list):
            for number, message in enumerate(part):
                fields = message if isinstance(message, dict) else {"content": message}
                text = fields.get("content")
                echo(f"{number:5} {one_line(fields.get('role'))}: {_cut(one_line(text))}")
        elif isinstance(part, dict):
            for key, value in part.items():
                echo(f"{name}.{key}: {_cut(one_line(value))}")
        else:
            echo(f"{name}: {_cut(one_line(part))}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE else line[: _LINE - 3] + "..."


@agent.command()
@click.argument("agent_id")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most so many.")
@JSON
@click.pass_obj
def versions(target: Target, agent_id: str, limit: int, as_json: bool) -> None:
    """List the saves of an agent, newest first."""
    with target.reading() as state:
        found = _existing(state, agent_id)
        tags: dict[int, list[str]] = {}
        for name, version in found.tags.items():
            tags.setdefault(version, []).append(name)
        saves = found.versions(limit=limit)
    if as_json:
        shown = [
            {**each._asdict(), "at": text_of(each.at), "keys": list(each.keys), "tags": tags.get(each.version, [])}
            for each in saves
        ]
        echo_json({"id": agent_id, "versions": shown})
        return
    rows = []
    for each in saves:
        names = " ".join([*([each.label] if each.label else []), *tags.get(each.version, [])])
        rows.append((str(each.version), text_of(each.at), names, " ".join(each.keys)))
    echo_table(("version", "at", "label and tags", "wrote"), rows)


@agent.command()
@click.argument("agent_id")
@click.argument("old", type=_WHEN)
@click.argument("new", type=_WHEN, required=False)
@JSON
@click.pass_obj
def diff(target: Target, agent_id: str, old: Any, new: Any, as_json: bool) -> None:
    """Print what changed from OLD to NEW, by default to now."""
    with target.reading() as state:
        difference = _existing(state, agent_id).diff(old, new)
    if as_json:
        changes = [
            {"path": each.path, "kind": each.kind, "old": plain(each.old), "new": plain(each.new)}
            for each in difference
        ]
        echo_json({"id": agent_id, "changes": changes})
    else:
        echo(str(difference))


@agent.command()
@click.argument("agent_id")
@click.argument("new_id")
@click.option("--at", "when", type=_WHEN, help="Begin with this version.")
@click.pass_obj
def fork(target: Target, agent_id: str, new_id: str, when: Any) -> None:
    """Begin another agent, NEW_ID, with the state of this one."""
    with target.changing() as state:
        echo(str(_existing(state, agent_id).fork(new_id, when).version))


@agent.command()
@click.argument("agent_id")
@click.argument("when", type=_WHEN)
@click.pass_obj
def restore(target: Target, agent_id: str, when: Any) -> None:
    """Make an agent what it was then, as a new save."""
    with target.changing() as state:
        echo(str(_existing(state, agent_id).restore(when)))


@agent.command()
@click.argument("agent_id")
@click.argument("name")
@click.argument("when", type=_WHEN, required=False)
@click.pass_obj
def tag(target: Target, agent_id: str, name: str, when: Any) -> None:
    """Name a version, by default the last one, and keep it."""
    with target.changing() as state:
        echo(str(_existing(state, agent_id).tag(name, when)))


@agent.command()
@click.argument("agent_id")
@click.option("--keep-last", type=click.IntRange(min=0), help="So many saves.")
@click.option("--keep-days", type=click.FloatRange(min=0), help="The saves of so many days.")
@click.pass_obj
def prune(target: Target, agent_id: str, keep_last: int | None, keep_days: float | None) -> None:
    """Clear away the past of an agent, by these options from now on, or by its retention."""
    with target.changing() as state:
        found = _existing(state, agent_id)
        if keep_last is not None or keep_days is not None:
            found.retention = Retention(keep_last, keep_days)
        echo(f"{counted(found.prune(), 'record')} cleared away")


@agent.command()
@click.argument("agent_id")
@click.pass_obj
def rm(target: Target, agent_id: str) -> None:
    """Remove an agent with its past."""
    with target.changing() as state:
        _existing(state, agent_id).delete()
