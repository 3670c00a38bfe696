"""What saving an agent costs, and what it does not: ``python benches/agents.py --json FILE``."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import orjson

import spellkeep as sk
from rivals import machine
from rivals.alone import finish, options
from rivals.results import Goal, Results
from rivals.stats import ratio

_REPEATS = 15
_LENGTHS = (10, 1_000, 100_000)


def _message(number: int, content_bytes: int) -> dict[str, Any]:
    # Of a different content each time: a store may not profit from equal ones.
    return {"role": "assistant" if number % 2 else "user", "content": f"{number:08}".ljust(content_bytes, "x")}


def _medians_us(calls: list[Callable[[int], object]], count: int, repeats: int) -> list[list[float]]:
    """Medians of single calls, taking turns: of each call one figure for each repeat, after one that warms up."""
    found: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, medians in zip(calls, found, strict=True):
            times = array("q")
            for number in range(repeat * count, (repeat + 1) * count):
                begun = perf_counter_ns()
                call(number)
                times.append(perf_counter_ns() - begun)
            if repeat:
                medians.append(statistics.median(times) / 1000)
    return found


def _filled(state: sk.StateManager, name: str, count: int, content_bytes: int) -> Any:
    agent = state.agent(name)
    for start in range(0, count, 10_000):
        agent.messages.extend(_message(number, content_bytes) for number in range(start, min(start + 10_000, count)))
    return agent


def _appends(state: sk.StateManager, quick: bool) -> list[Goal]:
    lengths = _LENGTHS[:-1] if quick else _LENGTHS
    agents = [_filled(state, f"of-{length}", length, 270) for length in lengths]
    plain = state.scope(sk.StateScope.agent("plain"))
    made = [_message(number, 270) for number in range(4_000)]
    calls: list[Callable[[int], object]] = [
        lambda number, append=agent.messages.append: append(made[number % 4_000]) for agent in agents
    ]
    calls.append(lambda number: plain.set("key", made[number % 4_000]))
    *ours, bare = _medians_us(calls, 500 if quick else 2_000, _REPEATS)
    goals = []
    for length, times in zip(lengths, ours, strict=True):
        definition = "messages.append of 300 B / handle.set of the same message over one key"
        goals.append(_ratio(f"append at {length:,} messages over a plain set", definition, times, bare, 3.0))
    for length, times in zip(lengths[1:], ours[1:], strict=True):
        definition = f"append at {length:,} messages / at {lengths[0]}"
        goals.append(
            _ratio(f"append at {length:,} messages over append at {lengths[0]}", definition, times, ours[0], 1.3)
        )
    return goals


def _ratio(name: str, definition: str, ours: list[float], theirs: list[float], at_most: float) -> Goal:
    found = ratio(ours, theirs)
    note = f"{statistics.median(ours):.2f} / {statistics.median(theirs):.2f} us"
    return Goal(name, definition, found["median"], "ratio", at_most, spread=(found["min"], found["max"]), note=note)


def _small_saves(folder: Path) -> list[Goal]:
    """One message of 196 bytes when 5,000 are there, beside an orjson line; and the bytes of 5,000."""
    size = len(orjson.dumps(_message(0, 165)))
    with sk.open(folder / "small") as state, (folder / "lines").open("ab", buffering=0) as lines:
        before = _bytes_to_disk(state)
        agent = state.agent("small")
        for number in range(5_000):
            agent.messages.append(_message(number, 165))
        written = _bytes_to_disk(state) - before
        made = [_message(number, 165) for number in range(2_000)]
        ours, line = _medians_us(
            [
                lambda number: agent.messages.append(made[number % 2_000]),
                lambda number: lines.write(orjson.dumps(made[number % 2_000]) + b"\n"),
            ],
            500,
            _REPEATS,
        )
    return [
        Goal(
            "one message when 5,000 are there",
            f"messages.append of a message of {size} B as JSON, kill-safe",
            statistics.median(ours),
            "us",
            2.0,
            spread=(min(ours), max(ours)),
            note=f"an orjson line and a write, kill-safe too: {statistics.median(line):.2f} us",
        ),
        Goal(
            "bytes for 5,000 saves over the messages",
            "bytes written to files by 5,000 appends, flushed / their JSON",
            written / (5_000 * size),
            "ratio",
            2.0,
        ),
    ]


def _bytes_to_disk(state: sk.StateManager) -> int:
    """Bytes that this process has handed to the system so far. The ring is a mapping, and not counted."""
    state.flush()
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _whole(state: sk.StateManager, folder: Path, quick: bool) -> list[Goal]:
    """A state of 1,000 messages with one new one, beside JSON and a rename without a sync."""
    messages = [_message(number, 270) for number in range(1_000)]
    kept = {"messages": messages, "context": {"goal": "Lyon", "step": 3}}
    state.save_agent_state("whole", kept)
    written = list[int]()

    def save(number: int) -> None:
        messages.append(_message(number, 270))
        version = state.last_version
        state.save_agent_state("whole", kept)
        assert state.last_version == version + 1

    def dump(_: int) -> None:
        with (folder / "state.tmp").open("w") as file:
            json.dump(kept, file)
        os.replace(folder / "state.tmp", folder / "state.json")

    count = 3
    ours, theirs = _medians_us([save, dump], count, 5 if quick else _REPEATS)
    for number in range(15):
        before = _bytes_to_disk(state)
        save(number)
        written.append(_bytes_to_disk(state) - before)
    found = ratio(theirs, ours)
    return [
        Goal(
            "times as fast as JSON: a state of 1,000 messages and one more",
            "json.dump and rename, without a sync / save_agent_state",
            found["median"],
            "ratio",
            at_least=20,
            spread=(found["min"], found["max"]),
            note=f"{statistics.median(theirs):,.0f} / {statistics.median(ours):,.0f} us",
        ),
        Goal(
            "bytes written by it",
            "bytes written to files by one such save, flushed, median of 15",
            statistics.median(written),
            "bytes",
            2_000,
            spread=(min(written), max(written)),
            note="the most is with a checkpoint, or space written ahead, that earlier saves made due",
        ),
    ]


def _forks(state: sk.StateManager, quick: bool) -> list[Goal]:
    length = 1_000 if quick else 100_000
    agent = _filled(state, "base", length, 270)
    [times] = _medians_us([lambda number: agent.fork(f"fork-{number}")], 50, 3 if quick else _REPEATS)
    name, definition = f"fork of {length:,} messages", "agent.fork, kill-safe"
    return [Goal(name, definition, statistics.median(times), "us", 50, spread=(min(times), max(times)))]


def _loads(state: sk.StateManager, folder: Path, quick: bool) -> list[Goal]:
    agent = _filled(state, "load", 10_000, 270)
    raw = orjson.dumps(agent.messages.to_list())
    calls: list[Callable[[int], object]] = [lambda _: state.load_agent_state("load"), lambda _: orjson.loads(raw)]
    ours, theirs = _medians_us(calls, 3, 5 if quick else _REPEATS)
    goals = [_ratio("load 10,000 messages", "load_agent_state / orjson.loads of their JSON", ours, theirs, 1.0)]
    times = list[list[float]]()
    for length in (10, 1_000 if quick else 100_000):
        path = folder / f"open-{length}"
        with sk.open(path) as filled:
            _filled(filled, "agent", length, 270)
        with sk.open(path) as opened:
            # Held: otherwise the next call opens it anew, which is what is measured.
            [medians] = _medians_us([lambda _, opened=opened: opened.agent("agent").messages[-1]], 50, 5)  # type: ignore[misc]
            times.append(medians)
    name = "opening an agent of 100,000 messages over one of 10"
    return [*goals, _ratio(name, "state.agent(id).messages[-1] of an agent that is not open", times[1], times[0], 1.5)]


def main() -> int:
    """Measure and write."""
    chosen = options(
        "Saving, forking and loading agents.", quick="shorter conversations and fewer repeats"
    ).parse_args()
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        method = (
            "Medians of single calls in turns within one run, one that warms up and at least five that are counted; "
            "durability interval, so that an acknowledged save survives kill -9. Every message is a different one."
        )
        results = Results("agents", "Agents", method, machine.describe(folder))
        with sk.open(folder / "state") as state:
            results.goals += _appends(state, chosen.quick)
            results.goals += _forks(state, chosen.quick)
            results.goals += _loads(state, folder, chosen.quick)
        # In a store of its own: no checkpoint of what was written before comes in between.
        with sk.open(folder / "whole") as state:
            results.goals += _whole(state, folder, chosen.quick)
        results.goals += _small_saves(folder)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
