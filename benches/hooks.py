"""What hooks cost the writer, beside pluggy's and blinker's dispatch: ``python benches/hooks.py --json FILE``.

All of one run, taken in turn, round by round: `handle.set` without hooks, with 1 and with 10 that do nothing, and the
same numbers of functions called through pluggy, blinker and a plain loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import blinker
import pluggy

import spellkeep
from spellkeep import StateScope

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


def main() -> None:
    """Measure and print; write JSON if asked."""
    options = argparse.ArgumentParser()
    options.add_argument("--json", type=Path)
    options.add_argument("--quick", action="store_true")
    given = options.parse_args()
    rounds, calls = (20, 500) if given.quick else (100, 2_000)
    makes = {"handle.set": kept, "pluggy": plugged, "blinker": signalled, "loop": looped}
    jobs = {(name, count): make(count) for name, make in makes.items() for count in (0, 1, 10)}
    totals: dict[tuple[str, int], list[float]] = {job: [] for job in jobs}
    singles: dict[tuple[str, int], list[int]] = {job: [] for job in jobs}
    for _ in range(rounds):
        for job, call in jobs.items():
            begun = perf_counter_ns()
            for _ in range(calls):
                call(VALUE)
            totals[job].append((perf_counter_ns() - begun) / calls)
            for _ in range(calls // 10):
                begun = perf_counter_ns()
                call(VALUE)
                singles[job].append(perf_counter_ns() - begun)
    figures = {}
    for (name, count), each in totals.items():
        # What the hooks add, round by round: a slow moment of the machine is in both.
        added = statistics.median(one - none for one, none in zip(each, totals[name, 0], strict=True))
        p99 = statistics.quantiles(singles[name, count], n=100)[98]
        figures[f"{name} {count}"] = {
            "median_ns": round(statistics.median(each)),
            "added_ns": round(added),
            "p99_ns": round(p99),
        }
        print(
            f"{name:>10} {count:>2}  median {statistics.median(each):7.0f} ns  added {added:7.0f} ns  p99 {p99:7.0f} ns"
        )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
