"""What keeping costs, defined so that it means something: ``python benches/overhead.py --json FILE``.

O1 to O5 are ratios of two times of one run, taken in turn, repeat by repeat.
"""

from __future__ import annotations

import copy
import hashlib
import json
import statistics
import sys
import tempfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import Any

import ormsgpack

import spellkeep
from rivals import machine
from rivals.alone import finish, options
from rivals.contenders.by_hand import ByHand
from rivals.contenders.protocol import Setting
from rivals.race import REPEATS_MIN, Calls, Job, race
from rivals.results import Goal, Results
from rivals.stats import ratio
from rivals.values import Feed
from spellkeep import StateClass, StateScope

SIZES = {"120 B": 120, "1 KB": 1_000}
KEYS = 500
COUNT_MAX = 20_000
MODEL_CPU_MS = 5
# A hash of so many bytes does not give up the interpreter's lock.
_CHUNK = b"prompt" * 300


class _Loop:
    """Statements in a loop of their own: a function around them would be a cost that the definition does not have."""

    def __init__(self, name: str, loop: Callable[[list[Any]], None], make: Callable[[int], list[Any]]) -> None:
        self.name, self._loop, self._make = name, loop, make
        self._calls: list[Any] = []

    def prepare(self, count: int) -> int:
        """Make ready `count` rounds."""
        self._calls = self._make(count)
        return count

    def whole_ns(self) -> int:
        """Do them; the time of all."""
        begun = perf_counter_ns()
        self._loop(self._calls)
        return perf_counter_ns() - begun

    def singles_ns(self) -> array[int]:
        """No figure here is about single ones."""
        return array("q")


def _loops(feed: Callable[[], Feed]) -> list[_Loop]:
    """The baselines: a dict of packed values, written and read, and one of deep copies."""
    packed: dict[str, bytes] = {}
    copies: dict[str, Any] = {}

    def pack(calls: list[Any]) -> None:
        packb = ormsgpack.packb
        for key, value in calls:
            packed[key] = packb(value)

    def unpack(calls: list[Any]) -> None:
        unpackb = ormsgpack.unpackb
        for key in calls:
            unpackb(packed[key])

    def deep_copy(calls: list[Any]) -> None:
        deepcopy = copy.deepcopy
        for key, value in calls:
            copies[key] = deepcopy(value)

    pack(feed().first())
    return [
        _Loop("dict", pack, feed().writes),
        _Loop("get dict", unpack, feed().reads),
        _Loop("deep copy", deep_copy, feed().writes),
    ]


@dataclass(frozen=True)
class _Pair:
    name: str
    ours: str
    theirs: str
    definition: str
    at_most: float | None
    note: str = ""


def _jobs(folder: Path, size: str, bytes_: int, state: spellkeep.StateManager) -> tuple[list[Job], list[_Pair]]:
    """Everything of one size that takes turns, and which of it is divided by which."""
    keys = [f"run/{number:06}" for number in range(KEYS)]
    feed = partial(Feed, keys, bytes_)
    by_hand = ByHand(folder / f"by-hand-{bytes_}", Setting(1, bytes_))
    calls: dict[str, Callable[..., object]] = {"by hand": by_hand.set}
    pairs: list[_Pair] = []
    jobs: list[Job] = []
    for state_class in StateClass:
        word = state_class.name.capitalize()
        handle = state.scope(StateScope.agent(f"{word}-{bytes_}"), state_class=state_class)
        calls[word] = handle.set
        for key, value in feed().first():
            handle.set(key, value)
        jobs.append(Calls(f"get {word}", handle.get, feed().reads, pairs=False))
        pairs += [
            _Pair(
                f"O1 set, {word}, {size}",
                word,
                "by hand",
                "acknowledged kill-safe handle.set / packb + framed append + dict",
                0.5,
            ),
            _Pair(
                f"O2 set, {word}, {size}",
                word,
                "dict",
                "the same / d[k] = ormsgpack.packb(v), which keeps nothing after a crash",
                1.05,
            ),
            _Pair(f"O2 get, {word}, {size}", f"get {word}", "get dict", "handle.get / ormsgpack.unpackb(d[k])", 1.05),
        ]
        if state_class is not StateClass.TRUSTED:
            at_most = 1.03 if state_class is StateClass.STANDARD else 1.1
            pairs.append(_Pair(f"O3 {word}, {size}", word, "Trusted", f"set of {word} / set of Trusted", at_most))
    pairs.append(
        _Pair(
            f"O4 {size}",
            "Standard",
            "deep copy",
            "acknowledged set / d[k] = copy.deepcopy(v)",
            None,
            "It flatters: a deep copy takes longer than packing the same value, so any store looks free.",
        )
    )
    jobs += [Calls(name, call, feed().writes, pairs=True) for name, call in calls.items()]
    jobs += _loops(feed)
    return jobs, pairs


def _ratios(folder: Path, repeats: int, box_s: float) -> list[Goal]:
    goals: list[Goal] = []
    for size, bytes_ in SIZES.items():
        with spellkeep.open(folder / f"state-{bytes_}", sealing_keys=[bytes(32)]) as state:
            jobs, pairs = _jobs(folder, size, bytes_, state)
            times = {each.name: each.repeats_us for each in race(jobs, repeats, box_s, COUNT_MAX)}
        for pair in pairs:
            found = ratio(times[pair.ours], times[pair.theirs])
            both = f"{statistics.median(times[pair.ours]):.2f} / {statistics.median(times[pair.theirs]):.2f} us"
            goals.append(
                Goal(
                    pair.name,
                    pair.definition,
                    found["median"],
                    "ratio",
                    at_most=pair.at_most,
                    spread=(found["min"], found["max"]),
                    note=" ".join(filter(None, (f"{both}.", pair.note))),
                )
            )
    return goals


def _model(rounds: int, prompt: str) -> str:
    """Answers after a fixed amount of work, so that a slower machine makes both sides slower."""
    digest = hashlib.sha256(prompt.encode())
    for _ in range(rounds):
        digest.update(_CHUNK)
    seen = digest.hexdigest()
    return json.dumps(
        {"role": "assistant", "content": f"seen {seen}", "tool_calls": [{"id": seen[:12], "name": "search"}]}
    )


def _rounds_of_model() -> int:
    rounds, best_ns = 1000, 1 << 62
    for _ in range(7):
        # Of the processor, not of the clock on the wall: on a busy machine that is another matter.
        begun = thread_time_ns()
        _model(rounds, "")
        best_ns = min(best_ns, thread_time_ns() - begun)
    return max(1, round(rounds * MODEL_CPU_MS * 1_000_000 / best_ns))


def _step(model: Callable[[str], str], state: dict[str, Any]) -> dict[str, Any]:
    prompt = "\n".join(f"{message['role']}: {message['content']}" for message in state["messages"])
    answer = json.loads(model(prompt))
    return {"messages": [*state["messages"][-7:], answer], "step": state["step"] + 1}


def _agent_step(folder: Path, repeats: int, steps: int) -> Goal:
    """O5: steps with and without keeping take turns one by one."""
    model = partial(_model, _rounds_of_model())
    ratios, with_us, without_us = [], [], []
    with spellkeep.open(folder / "agent") as state:
        handle = state.scope(StateScope.agent("scout"))
        first: dict[str, Any] = {"messages": [{"role": "user", "content": "find a flight"}], "step": 0}
        kept = left = first
        for number in range(repeats + 1):
            times: tuple[list[int], list[int]] = ([], [])
            for _ in range(steps):
                begun = perf_counter_ns()
                kept = _step(model, kept)
                handle.set("state", kept)
                between = perf_counter_ns()
                left = _step(model, left)
                times[0].append(between - begun)
                times[1].append(perf_counter_ns() - between)
            if number:
                with_us.append(statistics.median(times[0]) / 1000)
                without_us.append(statistics.median(times[1]) / 1000)
                ratios.append(with_us[-1] / without_us[-1])
        if handle["state"]["step"] != (repeats + 1) * steps:
            raise RuntimeError("the agent's state was not kept")
    return Goal(
        "O5 agent step",
        f"build prompt, a model that takes {MODEL_CPU_MS} ms of CPU, parse, store / the same without the store",
        statistics.median(ratios),
        "ratio",
        at_most=1.005,
        spread=(min(ratios), max(ratios)),
        note=f"{statistics.median(with_us):.1f} / {statistics.median(without_us):.1f} us, medians of {steps} steps.",
    )


def main() -> int:
    """Measure and write."""
    parser = options("What keeping costs: O1 to O5.", quick="shorter turns")
    parser.add_argument("--repeats", type=int, default=0, help=f"at least {REPEATS_MIN}")
    chosen = parser.parse_args()
    repeats = max(REPEATS_MIN, chosen.repeats or (REPEATS_MIN if chosen.quick else 15))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        method = (
            f"Both sides of each ratio take turns in one run, {repeats} repeats after one that warms up; a ratio is "
            "the median of the repeats' ratios. Every write stores a value that differs from the stored one."
        )
        results = Results("overhead", "What keeping costs", method, machine.describe(folder))
        results.goals = _ratios(folder, repeats, 0.012 if chosen.quick else 0.06)
        results.goals.append(_agent_step(folder, repeats, 10 if chosen.quick else 40))
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
