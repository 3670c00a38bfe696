"""What hooks cost the writer, beside pluggy's and blinker's dispatch: ``python benches/hooks.py --json FILE``."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

import blinker
import pluggy

import spellkeep
from rivals import machine
from rivals.alone import finish, options
from rivals.race import REPEATS_MIN, Calls, race
from rivals.results import Goal, Results, Row
from rivals.stats import percentiles_us, ratio
from spellkeep import StateScope

COUNTS = (0, 1, 10)
OURS = "Spellkeep"
# Microseconds that so many before-hooks may add, and by how much after-hooks may slow the writer.
ADDED_US = {1: 0.6, 10: 5.0}
AFTER = 1.02
# What a loop adds may look like less than nothing.
_LEAST_US = 0.001
_BOX_S = 0.02
PER_S = {"one call each": 200_000, "in lists": 500_000}
VALUE = {
    "step": 17,
    "goal": "find the train to Lyon",
    "done": ["look", "ask"],
    "cost": 0.25,
    "open": True,
    "note": "x" * 30,
}


def nothing(context: Any) -> None:
    """The hook."""


def plugged(count: int) -> Callable[[Any], Any]:
    """Calls so many through pluggy."""
    spec, impl = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")

    class Spec:
        @spec
        def before(self, context: Any) -> None:
            """The point."""

    class Plugin:
        @impl
        def before(self, context: Any) -> None:
            pass

    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    for _ in range(count):
        manager.register(Plugin())
    call = manager.hook.before
    return lambda context: call(context=context)


def signalled(count: int) -> Callable[[Any], Any]:
    """Calls so many through blinker."""
    signal = blinker.Signal()
    for _ in range(count):
        signal.connect(lambda context: None, weak=False)
    return signal.send


def looped(count: int) -> Callable[[Any], Any]:
    """Calls so many in a loop."""
    functions = [nothing] * count

    def call(context: Any) -> None:
        for function in functions:
            function(context)

    return call


def kept(count: int) -> Callable[[Any], Any]:
    """`handle.set` with so many hooks."""
    state = spellkeep.open("memory:")
    for number in range(count):
        state.hooks.before("set", name=f"h{number}")(nothing if number == 0 else lambda context: None)
    handle = state.scope(StateScope.agent("scout"))
    return lambda value: handle.set("plan", value)


class Writer:
    """`handle.set` on a store with so many hooks that run after it: the time of the writer's own thread."""

    def __init__(self, folder: Path, count: int) -> None:
        self.name = str(count)
        self._state = spellkeep.open(folder / f"after-{count}")
        for number in range(count):
            self._state.hooks.after("set", name=f"h{number}", history=False)(nothing)
        self._set = self._state.scope(StateScope.agent("scout")).set
        self._count = 0

    def prepare(self, count: int) -> int:
        """A turn is not to pay for what the one before it left."""
        assert self._state.hooks.drain(60)
        time.sleep(0.02)
        self._count = count
        return count

    def whole_ns(self) -> int:
        """What hooks do meanwhile, they do in theirs."""
        begun = thread_time_ns()
        for _ in range(self._count):
            self._set("plan", VALUE)
        return thread_time_ns() - begun

    def singles_ns(self) -> array[int]:
        """No figure here is about single ones."""
        return array("q")

    def close(self) -> None:
        """Give the store up."""
        self._state.close()


def before(results: Results, repeats: int, calls_max: int) -> None:
    """What so many hooks that do nothing add to a set, beside what calling as many adds elsewhere."""
    makes = {OURS: kept, "pluggy": plugged, "blinker": signalled, "loop": looped}
    jobs = [
        Calls(f"{name} {count}", make(count), lambda calls: [VALUE] * calls, pairs=False)
        for name, make in makes.items()
        for count in COUNTS
    ]
    found = {each.name: each for each in race(jobs, repeats, _BOX_S, calls_max)}
    for count in COUNTS[1:]:
        workload = f"{count} {'hook' if count == 1 else 'hooks'}"
        # Repeat by repeat: a slow moment of the machine is in both.
        added = {
            name: [
                one - none
                for one, none in zip(found[f"{name} {count}"].repeats_us, found[f"{name} 0"].repeats_us, strict=True)
            ]
            for name in makes
        }
        for name, times in added.items():
            theirs = [max(each, _LEAST_US) for each in times]
            beside = {} if name == OURS else {"ratio": ratio(added[OURS], theirs), "beside": OURS}
            results.rows.append(Row(workload, name, "none", "us", found[f"{name} {count}"].count, times, **beside))
        p99 = percentiles_us(found[f"{OURS} {count}"].singles_ns).get("p99")
        results.goals.append(
            Goal(
                f"before a set, {workload}",
                "handle.set with so many hooks that do nothing - handle.set with none",
                statistics.median(added[OURS]),
                "us",
                at_most=ADDED_US[count],
                spread=(min(added[OURS]), max(added[OURS])),
                note="" if p99 is None else f"p99 of such a set: {p99:.2f} us.",
            )
        )


def after(results: Results, folder: Path, repeats: int, calls_max: int) -> None:
    """What after-hooks cost the writer."""
    jobs = [Writer(folder, count) for count in COUNTS]
    found = {each.name: each for each in race(jobs, repeats, _BOX_S, calls_max)}
    for job in jobs:
        job.close()
    for count in COUNTS[1:]:
        times = ratio(found[str(count)].repeats_us, found["0"].repeats_us)
        results.goals.append(
            Goal(
                f"after a set, {count} {'hook' if count == 1 else 'hooks'}",
                "time of the writer's thread for handle.set / the same without hooks",
                times["median"],
                "ratio",
                at_most=AFTER,
                spread=(times["min"], times["max"]),
            )
        )


def throughput(results: Results, folder: Path, count: int) -> None:
    """Written, delivered, counted at the receiver, position and history kept."""
    for name, at_least in PER_S.items():
        received = [0]

        def one(change: Any, received: list[int] = received) -> None:
            received[0] += 1

        def many(changes: list[Any], received: list[int] = received) -> None:
            received[0] += len(changes)

        batch = name == "in lists"
        with spellkeep.open(folder / name) as state:
            state.hooks.after("set", name="receiver", batch=batch)(many if batch else one)
            handle = state.scope(StateScope.agent("scout"))
            begun = perf_counter_ns()
            for number in range(count):
                handle.set("plan", number)
            assert state.hooks.drain(600)
            per_s = count / (perf_counter_ns() - begun) * 1e9
        assert received[0] == count, "lost or delivered twice"
        definition = "changes per second from the first write to the last delivery, with history"
        note = f"{count:,} written, {received[0]:,} received."
        results.goals.append(Goal(f"delivered, {name}", definition, per_s, "count", at_least=at_least, note=note))


def main() -> int:
    """Measure and write."""
    parser = options("What hooks cost the writer.", quick="shorter turns, fewer changes")
    parser.add_argument("--repeats", type=int, default=0, help=f"at least {REPEATS_MIN}")
    chosen = parser.parse_args()
    repeats = max(REPEATS_MIN, chosen.repeats or (REPEATS_MIN if chosen.quick else 60))
    calls_max = 500 if chosen.quick else 2_000
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        method = (
            f"A value of 120 bytes. All of a comparison take turns in one run, {repeats} repeats after one that warms "
            f"up, of at most {calls_max:,} calls; what hooks add is taken repeat by repeat. Before-hooks on a store in "
            "memory; pluggy, blinker and a plain loop call as many functions that do nothing, and keep no history. "
            "The thread that writes the history is met by longer turns more often. After-hooks on a store on disk."
        )
        results = Results("hooks", "Hooks", method, machine.describe(folder))
        before(results, repeats, calls_max)
        after(results, folder, repeats, calls_max)
        throughput(results, folder, 20_000 if chosen.quick else 500_000)
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
