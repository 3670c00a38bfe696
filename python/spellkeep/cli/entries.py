"""get, set, ls, rm."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import click

from spellkeep import StateScope
from spellkeep.cli.failure import ANSWER_IS_NO, USAGE, Failure
from spellkeep.cli.opening import JSON, SCOPE, Target
from spellkeep.cli.output import counted, echo, echo_json, plain, text_of, to_json
from spellkeep.errors import KeyMissing

__all__ = ["from_stdin", "get", "ls", "parsed", "rm", "set_"]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parsed(text: str) -> Any:
    """The value that a JSON argument says. Raises: Failure (cli.bad_json)."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise Failure("cli.bad_json", f"{error.msg} at {where}; --text stores plain text", USAGE) from None
    except RecursionError:
        raise Failure("cli.bad_json", "nested too deeply", USAGE) from None
    except ValueError as error:
        raise Failure("cli.bad_json", str(error), USAGE) from None


def from_stdin() -> str:
    """All of stdin. Raises: Failure (cli.not_utf8)."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise Failure("cli.not_utf8", f"stdin is not UTF-8 at byte {error.start}", USAGE) from None


@click.command()
@click.argument("scope", type=SCOPE)
@click.argument("key")
@click.option("--default", metavar="VALUE", help="Print this JSON instead when there is no such key, and succeed.")
@JSON
@click.pass_obj
def get(target: Target, scope: StateScope, key: str, default: str | None, as_json: bool) -> None:
    """Print the value of a key as JSON."""
    fallback = parsed(default) if default is not None else None
    with target.reading() as state:
        try:
            entry = state.entry(scope, key)
        except KeyMissing:
            if default is None:
                raise
            missing = dict.fromkeys(("updated_at", "expires_at", "state_class"))
            found: dict[str, Any] = {"version": 0, **missing, "value": fallback}
        else:
            found = {
                "version": entry.version,
                "updated_at": text_of(entry.updated_at),
                "expires_at": text_of(entry.expires_at) if entry.expires_at else None,
                "state_class": entry.state_class.name.lower(),
                "value": plain(entry.value),
            }
    if as_json:
        echo_json({"scope": str(scope), "key": key, **found})
    else:
        echo(to_json(found["value"], indent=2))


# An unknown option is taken as an argument, so that VALUE may be a negative number.
@click.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("scope", type=SCOPE)
@click.argument("key")
@click.argument("value")
@click.option("--text", "as_text", is_flag=True, help="VALUE is plain text, not JSON.")
@click.option("--if-version", type=click.IntRange(min=0), help="Only if this is the version now; 0: only if missing.")
@click.option("--ttl-s", type=float, help="For how many seconds the value is there; without, it stays.")
@JSON
@click.pass_obj
def set_(
    target: Target,
    scope: StateScope,
    key: str,
    value: str,
    as_text: bool,
    if_version: int | None,
    ttl_s: float | None,
    as_json: bool,
) -> None:
    """Store VALUE, which is JSON, and print its version. A VALUE of - is read from stdin.

    The value is durable when the command has ended.
    """
    if value == "-":
        value = from_stdin()
    content = value if as_text else parsed(value)
    with target.writing() as state:
        version = state.set(scope, key, content, if_version=if_version, ttl_s=ttl_s)
    if as_json:
        echo_json({"scope": str(scope), "key": key, "version": version})
    else:
        click.echo(str(version))


def _echo_lines(lines: Iterable[str]) -> None:
    if text := "\n".join(lines):
        echo(text)


@click.command()
@click.argument("scope", type=SCOPE, required=False)
@click.option("--prefix", default="", help="Only keys that start with this.")
@JSON
@click.pass_obj
def ls(target: Target, scope: StateScope | None, prefix: str, as_json: bool) -> None:
    """List the scopes, or the keys of SCOPE, one per line and in order."""
    if scope is None:
        if prefix:
            raise click.UsageError("--prefix needs a SCOPE")
        with target.reading() as state:
            scopes = state.list_scopes()
            counts = [len(state.list_keys(each)) for each in scopes] if as_json else []
        if as_json:
            listed = zip(scopes, counts, strict=True)
            echo_json({"scopes": [{"scope": str(each), "key_count": count} for each, count in listed]})
        else:
            _echo_lines(map(str, scopes))
        return
    with target.reading() as state:
        keys = state.list_keys(scope, prefix)
    if as_json:
        echo_json({"scope": str(scope), "prefix": prefix, "keys": keys})
    else:
        _echo_lines(keys)


@click.command()
@click.argument("scope", type=SCOPE)
@click.argument("key", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove every key of SCOPE.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--if-version", type=click.IntRange(min=0), help="Only if this is the version of KEY now.")
@JSON
@click.pass_obj
def rm(
    target: Target,
    scope: StateScope,
    key: str | None,
    everything: bool,
    yes: bool,
    if_version: int | None,
    as_json: bool,
) -> None:
    """Remove KEY, or with --all every key of SCOPE."""
    if everything == (key is not None):
        raise click.UsageError("give a KEY or --all" if key is None else "give a KEY or --all, not both")
    if key is None:
        if if_version is not None:
            raise click.UsageError("--if-version needs a KEY")
        _clear(target, scope, yes, as_json)
        return
    with target.changing() as state:
        version = state.delete(scope, key, if_version=if_version)
    if version == 0:
        raise Failure("key.missing", f"{scope} has no key {key!r}", ANSWER_IS_NO)
    if as_json:
        echo_json({"scope": str(scope), "key": key, "version": version})
    else:
        click.echo(str(version))


def _clear(target: Target, scope: StateScope, yes: bool, as_json: bool) -> None:
    with target.changing() as state:
        count = len(state.list_keys(scope))
        if count and not yes:
            try:
                agreed = click.confirm(f"Remove {counted(count, 'key')} of {scope}?", err=True)
            except click.Abort:
                click.echo(err=True)
                agreed = False
            if not agreed:
                raise Failure("cli.declined", "nothing was removed", ANSWER_IS_NO)
        removed = state.clear_scope(scope)
    if as_json:
        echo_json({"scope": str(scope), "removed_count": removed})
    else:
        click.echo(f"removed {counted(removed, 'key')}")
