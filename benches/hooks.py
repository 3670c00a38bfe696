"""What hooks cost the writer, beside pluggy's and blinker's dispatch: ``python benches/hooks.py --json FILE``.

All of one run, taken in turn, round by round: `handle.set` without hooks, with 1 and with 10 that do nothing, and the
same numbers of functions called through pluggy, blinker and a plain loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

import blinker
import pluggy

import spellkeep
from spellkeep import StateScope

# Gone at the end.
_FOLDER = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
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


def kept_after(count: int) -> Callable[[Any], Any]:
    """`handle.set` with so many hooks that run after it, on a real store."""
    state = spellkeep.open(tempfile.mkdtemp(dir=_FOLDER.name), keep_log_bytes=16 << 20)
    for number in range(count):
        state.hooks.after("set", name=f"h{number}", history=False)(nothing)
    handle = state.scope(StateScope.agent("scout"))
    handle.set("plan", 1)
    state.hooks.drain(10)
    return lambda value: handle.set("plan", value)


def writer_ns(call: Callable[[Any], Any], calls: int) -> float:
    """Time of the writer's own thread for each call: what hooks do meanwhile, they do in theirs."""
    begun = thread_time_ns()
    for _ in range(calls):
        call(VALUE)
    return (thread_time_ns() - begun) / calls


def writers(rounds: int, calls: int) -> dict[str, Any]:
    """What after-hooks cost the writer, as ratios of rounds taken in turn."""
    jobs = {count: kept_after(count) for count in (0, 1, 10)}
    times: dict[int, list[float]] = {count: [] for count in jobs}
    for _ in range(rounds):
        for count, call in jobs.items():
            times[count].append(writer_ns(call, calls))
            # The next round is not to pay for what this one left.
            time.sleep(0.02)
    figures = {}
    for count, each in times.items():
        ratio = statistics.median(one / none for one, none in zip(each, times[0], strict=True))
        figures[f"after {count}"] = {"median_ns": round(statistics.median(each)), "ratio": round(ratio, 3)}
        print(
            f"     after {count:>2}  median {statistics.median(each):7.0f} ns of the writer's thread, ratio {ratio:.3f}"
        )
    return figures


def throughput(count: int) -> dict[str, Any]:
    """Written, delivered, counted at the receiver, position and history kept: events a second from the first write."""
    figures = {}
    for batch in (False, True):
        state = spellkeep.open(tempfile.mkdtemp(dir=_FOLDER.name))
        received: list[int] = [0]

        def one(change: Any, received: list[int] = received) -> None:
            received[0] += 1

        def many(changes: list[Any], received: list[int] = received) -> None:
            received[0] += len(changes)

        state.hooks.after("set", name="receiver", batch=batch)(many if batch else one)
        handle = state.scope(StateScope.agent("scout"))
        begun = perf_counter_ns()
        for number in range(count):
            handle.set("plan", number)
        assert state.hooks.drain(600)
        per_s = count / (perf_counter_ns() - begun) * 1e9
        assert received[0] == count, "lost or delivered twice"
        name = "in lists" if batch else "one call each"
        figures[name] = {"count": count, "per_s": round(per_s)}
        print(f"{name:>13}  {count:,} delivered, {per_s:,.0f} a second")
        state.close()
    return figures


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
    figures: dict[str, Any] = {}
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
    figures |= writers(rounds, calls) | throughput(20_000 if given.quick else 500_000)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
