"""The options before the command, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from spellkeep.cli.failure import BROKEN_PIPE, EXIT_CODES, INTERRUPTED, USAGE, Failure, from_state_error
from spellkeep.cli.opening import Target
from spellkeep.errors import StateError

__all__ = ["cli"]


def _close_output() -> None:
    # Whatever is left in the buffers goes nowhere, so that the interpreter's last flush has nothing to complain about.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class Commands(click.Group):
    """A group whose errors are one line each, whose help tells the exit codes, and which ends quietly."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; its errors become a ``Failure`` or an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except StateError as error:
            raise from_state_error(error) from error
        except BrokenPipeError:
            _close_output()
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run and leave with the exit code."""
        extra["standalone_mode"] = False
        try:
            # Without its standalone mode click returns the code of an `Exit`, and what the command returned otherwise.
            code = super().main(args, prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            # Whoever gives no command is shown the commands, as they are laid out.
            error.show()
            code = USAGE
        except click.UsageError as error:
            hint = f" (see: {error.ctx.command_path} --help)" if error.ctx else ""
            Failure("cli.usage", error.format_message() + hint, USAGE).show()
            code = USAGE
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=Commands, epilog=EXIT_CODES)
@click.option(
    "--store",
    "path",
    envvar="SPELLKEEP_STORE",
    show_envvar=True,
    metavar="PATH",
    help="The store's directory.",
)
@click.version_option(package_name="spellkeep", prog_name="spellkeep", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, path: str | None) -> None:
    """Persistent state for AI agents.

    A scope is given as text: global, agent:scout, session:s-1, step:workflow:name, ... Results go to stdout, errors to
    stderr as one line: error[code]: detail.
    """
    ctx.obj = Target(path)
