"""What 800 turns of a conversation take up: ``python benches/langgraph_bench/growth.py --json FILE``.

A turn is one user message and one reply of a kilobyte each, through a graph of one node. Bytes are the files' lengths
after closing, without what an empty directory takes up, which is said apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from langgraph_bench.savers import LAST, OURS, SAVERS, SURVIVES, TEXT_BYTES, VERSION, graph, question, size_bytes
from rivals import machine
from rivals.results import Goal, Results, Row

TURNS = 800
THREAD: Any = {"configurable": {"thread_id": "6f1c1d3e-3f63-4a2b-9f0e-0b1b7a1c2d3e"}}
AROUND = 5
"""Turns before and after the tenth and the last, of which the median is taken."""


def fixed_bytes(name: str, folder: Path) -> int:
    """What a saver takes up that has kept nothing."""
    with SAVERS[name](folder):
        pass
    return size_bytes(folder)


def run(names: tuple[str, ...], turns: int) -> tuple[dict[str, tuple[list[float], int]], dict[str, list[float]]]:
    """Of each saver the milliseconds of each turn, all in turn, and the bytes on disk afterwards; then those of CPU."""
    times: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as folders:
        folder = {name: Path(folders.enter_context(tempfile.TemporaryDirectory())) for name in names}
        with ExitStack() as savers:
            chats = {name: graph(savers.enter_context(SAVERS[name](folder[name])), turns) for name in names}
            for _ in range(turns):
                for name, chat in chats.items():
                    asked = question()
                    begun, used = perf_counter(), process_time()
                    chat.invoke(asked, THREAD)
                    times[name].append((perf_counter() - begun) * 1_000)
                    busy[name].append((process_time() - used) * 1_000)
        return {name: (times[name], size_bytes(folder[name])) for name in names}, busy


def around(each: list[float]) -> tuple[float, float]:
    """The median around the tenth turn, and that of the last ones."""
    return statistics.median(each[10 - AROUND : 10 + AROUND]), statistics.median(each[-2 * AROUND :])


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--quick", action="store_true", help="60 turns, to try it out")
    chosen = parser.parse_args()
    turns = 60 if chosen.quick else TURNS
    own_bytes = turns * 2 * TEXT_BYTES
    results = Results(
        name="langgraph-growth",
        title="LangGraph: what a conversation takes up",
        method=f"{VERSION}: {turns} turns of a one-node MessagesState graph, {TEXT_BYTES} B each way; files after "
        f"closing, less an empty directory; a turn's time is the median of the {2 * AROUND} around it, one run each. "
        "The saver that keeps the last objects copies and writes nothing: its turns, each after one of ours, take what "
        "LangGraph itself takes.",
        machine=machine.describe(Path(tempfile.gettempdir())),
    )
    print(f"{turns} turns, {own_bytes:,} bytes of text")
    print(f"{'':16}{'fixed':>12}{'growth':>14}{'x text':>8}{'ms at 10':>10}{'ms at end':>11}{'x':>7}")
    grown: dict[str, float] = {}
    # Ours and what LangGraph itself takes are compared, so they take turns.
    found, busy = run((OURS, LAST), turns)
    for name in SAVERS:
        try:
            with tempfile.TemporaryDirectory() as empty:
                fixed = fixed_bytes(name, Path(empty))
            times, total = found[name] if name in found else run((name,), turns)[0][name]
        except ImportError as error:
            results.missing.append(f"{name}: {error}")
            print(f"{name:16}left out: {error}")
            continue
        early, late = around(times)
        growth = total - fixed
        factor, slower = growth / own_bytes, late / early
        print(f"{name:16}{fixed:12,}{growth:14,}{factor:8.2f}{early:10.2f}{late:11.2f}{slower:7.2f}")
        for workload, unit, figure in (
            ("growth", "bytes", growth),
            ("fixed", "bytes", fixed),
            ("turn 10", "us", early * 1e3),
            (f"turn {turns}", "us", late * 1e3),
        ):
            results.rows.append(Row(workload, name, SURVIVES.get(name, "none"), unit, turns, [figure]))
        grown[name] = (late - early) * 1e3
        if name == OURS:
            results.goals += [
                Goal("growth", "bytes on disk over the messages' own", factor, "ratio", at_most=1.5),
                Goal("last turn", f"time of turn {turns} over that of turn 10", slower, "ratio", at_most=1.3),
            ]
        if name == LAST:
            what = f"time of turn {turns} over that of turn 10, with a saver that keeps the last objects"
            results.goals.append(Goal("last turn of LangGraph itself", what, slower, "ratio"))
    what = f"what turn {turns} takes longer than turn 10, less the same with a saver that keeps the last objects"
    results.goals.append(Goal("last turn, ours alone", what, grown[OURS] - grown[LAST], "us"))
    early, late = (ours - theirs for ours, theirs in zip(around(busy[OURS]), around(busy[LAST]), strict=True))
    what = "CPU time of a turn, less that with a saver that keeps the last objects: "
    results.goals += [
        Goal("CPU of ours alone, turn 10", what + "around turn 10", early * 1e3, "us"),
        Goal(f"CPU of ours alone, turn {turns}", what + f"around turn {turns}", late * 1e3, "us"),
        Goal("CPU of ours alone, grown", what + f"at turn {turns} over that at turn 10", late / early, "ratio"),
    ]
    for goal in results.goals[-3:]:
        print(f"{goal.name}: {goal.figure:.2f}")
    if chosen.json:
        results.write(chosen.json)


if __name__ == "__main__":
    main()
