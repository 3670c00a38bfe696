"""Asking a long log what happened: ``python benches/timelines.py [--events 1000000] [--json FILE]``."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import spellkeep as sk
from rivals import machine
from rivals.alone import finish, options
from rivals.memory import anonymous_bytes
from rivals.results import Goal, Results
from spellkeep import StateScope

_AGENTS = 100
_PER_CORRELATION = 20
_ASKED = 200


def _fill(state: sk.StateManager, event_count: int) -> list[str]:
    """Pieces of work, some of them at the same time: an event, what it caused, on to the next."""
    correlations = [f"req-{number:06}" for number in range(event_count // _PER_CORRELATION)]
    handles = [state.scope(StateScope.agent(f"agent-{number}")) for number in range(_AGENTS)]
    for first in range(0, len(correlations), 5):
        at_once = correlations[first : first + 5]
        causes: dict[str, int | None] = dict.fromkeys(at_once)
        for step in range(_PER_CORRELATION):
            for correlation in at_once:
                with sk.correlate(correlation, cause=causes[correlation]):
                    if step % 5 == 0:
                        causes[correlation] = state.events.emit("tool.call", {"step": step})
                    else:
                        causes[correlation] = handles[first % _AGENTS].set(
                            f"step/{step}", {"step": step, "text": "x" * 60}
                        )
    return correlations


def main() -> int:
    """Measure and write."""
    parser = options("Timelines of a long log.", quick="a hundredth of them")
    parser.add_argument("--events", type=int, default=1_000_000, help="how many changes the log has")
    chosen = parser.parse_args()
    event_count = chosen.events // (100 if chosen.quick else 1)
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        method = (
            f"A log of {event_count:,} changes, a fifth of them events, {_PER_CORRELATION} of each correlation id, "
            f"five pieces of work at a time, {_AGENTS} agents. {_ASKED} correlation ids at random, one question each."
        )
        results = Results("timelines", "Timelines", method, machine.describe(Path(made)))
        with sk.open(Path(made) / "state", keep_log_bytes=1 << 40) as state:
            correlations = _fill(state, event_count)
            before, begun = anonymous_bytes(), perf_counter()
            state.timeline(correlation="none")
            built_s, memory = perf_counter() - begun, anonymous_bytes() - before
            times_ms = []
            for correlation in random.Random(1).choices(correlations, k=_ASKED):
                begun = perf_counter()
                found = state.timeline(correlation=correlation)
                times_ms.append((perf_counter() - begun) * 1000)
                assert len(found) == _PER_CORRELATION and found[-1].correlation == correlation
    spread = (min(times_ms), max(times_ms))
    results.goals += [
        Goal("one correlation", "state.timeline(correlation=...)", statistics.median(times_ms), "ms", 5, spread=spread),
        Goal("the first question", "which reads the log and makes the index", built_s, "s"),
        Goal(
            "memory of the index",
            "growth of the process's own memory over that, per change",
            memory / event_count,
            "bytes per change",
        ),
    ]
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
