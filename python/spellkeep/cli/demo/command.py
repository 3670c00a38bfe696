"""The command and its table."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from spellkeep.cli.conversations import BadLine, read_lines
from spellkeep.cli.demo.made import made_conversations
from spellkeep.cli.demo.supervisor import Outcome, Supervisor, WorkerFailed
from spellkeep.cli.failure import ANSWER_IS_NO, USAGE, Failure, complain
from spellkeep.cli.opening import JSON, is_store
from spellkeep.cli.output import echo_json

__all__ = ["demo"]

_Conversations = list[tuple[str, list[dict[str, Any]]]]


def _from_file(path: str) -> _Conversations:
    conversations: _Conversations = []
    with open(path, "rb") as file:
        for line in read_lines(file):
            if isinstance(line, BadLine):
                raise Failure(line.code, f"{path}:{line.line}: the line {line.detail}", ANSWER_IS_NO)
            conversations.append((line.conversation_id, line.messages))
    return conversations


def _write(path: Path, conversations: _Conversations) -> None:
    lines = (json.dumps({"conversation_id": name, "messages": messages}) for name, messages in conversations)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


@contextmanager
def _progress(kill_count: int) -> Iterator[Callable[[int], object]]:
    if not sys.stderr.isatty() or not kill_count:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("kills", total=kill_count)
        yield lambda done: bar.update(task, completed=done)


def _quantile_us(values_ns: list[int], quantile: float) -> float:
    ordered = sorted(values_ns)
    return round(ordered[min(int(len(ordered) * quantile), len(ordered) - 1)] / 1000, 3) if ordered else 0.0


def _figures(outcome: Outcome, seed: int, durability: str, conversation_count: int, begun: float) -> dict[str, Any]:
    return {
        "seed": seed,
        "durability": durability,
        "conversation_count": conversation_count,
        "message_count": outcome.message_count,
        "kill_count": outcome.kill_count,
        "acknowledged_count": outcome.acknowledged_count,
        "recovered_count": outcome.recovered_count,
        "unacknowledged_count": outcome.unacknowledged_count,
        "lost_count": outcome.lost_count,
        "wrong_count": outcome.wrong_count,
        "write_median_us": _quantile_us(outcome.took_ns, 0.5),
        "write_p99_us": _quantile_us(outcome.took_ns, 0.99),
        "duration_ms": round((time.monotonic() - begun) * 1000),
        "failures": outcome.failures,
    }


def _print(figures: dict[str, Any]) -> None:
    rows = [
        ("conversations", f"{figures['conversation_count']:,}"),
        ("messages", f"{figures['message_count']:,}"),
        ("kills", f"{figures['kill_count']:,}"),
        ("acknowledged", f"{figures['acknowledged_count']:,}"),
        ("recovered", f"{figures['recovered_count']:,}"),
        ("lost", f"{figures['lost_count']:,}"),
        ("wrong", f"{figures['wrong_count']:,}"),
        ("stored, but killed before the acknowledgement", f"{figures['unacknowledged_count']:,}"),
        (f"write median ({figures['durability']})", f"{figures['write_median_us']:.1f} us"),
        (f"write p99 ({figures['durability']})", f"{figures['write_p99_us']:.1f} us"),
        ("took", f"{figures['duration_ms'] / 1000:.1f} s"),
        ("seed", str(figures["seed"])),
    ]
    width = max(len(name) for name, _ in rows)
    for name, figure in rows:
        click.echo(f"{name:<{width}}  {figure:>12}")


@click.command()
@click.option("--input", "input_path", type=click.Path(exists=True, dir_okay=False), help="Conversations, as `ingest`.")
@click.option("--kills", type=click.IntRange(0, 100_000), default=20, show_default=True, help="Workers to kill.")
@click.option("--durability", type=click.Choice(["process", "interval", "sync"]), default="interval", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), help="For the conversations and the kills. [default: a random one]")
@click.option("--store", type=click.Path(file_okay=False), help="Keep the store in this directory, which has none yet.")
@JSON
def demo(
    input_path: str | None,
    kills: int,
    durability: Literal["process", "interval", "sync"],
    seed: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Kill a writing process again and again, and show that nothing acknowledged is lost.

    Agents replay conversations, message by message, in a worker process. It is killed with SIGKILL at random moments;
    each next one goes on from what it finds in the store. After every kill the store is opened and everything that was
    ever acknowledged is compared, with a record that only the parent has. It never touches the store of the option
    before the command.
    """
    begun = time.monotonic()
    if store is not None and is_store(store):
        raise Failure("demo.store_exists", f"{store} holds a store; give a new directory", USAGE)
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="spellkeep-demo-") as scratch:
        if input_path is None:
            conversations = made_conversations(seed)
            input_path = str(Path(scratch, "conversations.jsonl"))
            _write(Path(input_path), conversations)
        else:
            conversations = _from_file(input_path)
        directory = store if store is not None else str(Path(scratch, "store"))
        supervisor = Supervisor(directory, input_path, conversations, durability, seed)
        try:
            with _progress(kills) as after_kill:
                outcome = supervisor.run(kills, after_kill)
        except WorkerFailed as error:
            raise Failure("demo.worker_failed", f"{error} (seed {seed})", ANSWER_IS_NO) from None
    figures = _figures(outcome, seed, durability, len(conversations), begun)
    if as_json:
        echo_json(figures)
    else:
        _print(figures)
    for failure in outcome.failures:
        complain(failure)
    if outcome.failures:
        raise Failure("demo.lost", f"{len(outcome.failures)} failures (seed {seed})", ANSWER_IS_NO)
