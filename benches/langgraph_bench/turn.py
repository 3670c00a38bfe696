"""What one turn costs with each saver: ``python benches/langgraph_bench/turn.py --json FILE``.

``invoke`` of a one-node MessagesState graph on a thread of 10, 100 and 1,000 messages, the savers in turn, in another
order in each repeat, each repeat on a thread of its own that had one turn before. "no checkpointer" is given the
messages as its input; "nothing" is a saver that keeps nothing and always hands out the same messages. "result kept"
holds the state that the turn before returned, as a program does that shows it: then ours must hand out copies.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns, process_time_ns, thread_time_ns
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_bench.savers import (
    OURS,
    SURVIVES,
    VERSION,
    Nothing,
    graph,
    memory_saver,
    question,
    spellkeep_saver,
    sqlite_saver,
    text,
)
from rivals import machine
from rivals.results import Goal, Results, Row

# How many messages, and how often: what a saver takes of a short turn is less than what turns differ by.
SIZES = {10: 151, 100: 101, 1_000: 31}
KEPT = "SpellkeepSaver, result kept"


def thread(number: int) -> Any:
    """A thread of one repeat."""
    return {"configurable": {"thread_id": f"thread {number}"}}


def messages(count: int) -> list[Any]:
    """A conversation so far."""
    return [(AIMessage if at % 2 else HumanMessage)(text(), id=f"m-{at}") for at in range(count)]


def measure(size: int, repeats: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The milliseconds of a turn with each saver, one for each repeat; then those of CPU, of all threads."""
    times: dict[str, list[float]] = defaultdict(list)
    busy: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nothing = Nothing()
        first = InMemorySaver()
        first.get_next_version = nothing.get_next_version  # type: ignore[assignment,method-assign]
        graph(first, 0).update_state(thread(0), {"messages": messages(size)})
        nothing.saved = first.get_tuple(thread(0))
        savers = {
            "no checkpointer": None,
            "nothing": nothing,
            OURS: stack.enter_context(spellkeep_saver(folder)),
            KEPT: stack.enter_context(spellkeep_saver(folder / "kept")),
            "InMemorySaver": stack.enter_context(memory_saver(folder)),
            "SqliteSaver": stack.enter_context(sqlite_saver(folder)),
        }
        graphs = {name: graph(saver, 2 * repeats) for name, saver in savers.items()}
        held: list[Any] = []
        for repeat in range(repeats):
            # Whoever comes behind the same other one each time would pay for what that left in the caches.
            for name, chat in random.Random(repeat).sample(list(graphs.items()), len(graphs)):
                before = messages(size - 2) if name == "no checkpointer" else []
                if name not in ("no checkpointer", "nothing"):
                    chat.update_state(thread(repeat), {"messages": messages(size - 2)})
                # A turn that is not timed, so that nobody pays for what the one before left behind.
                result = chat.invoke({"messages": before + question()["messages"]}, thread(repeat))
                if name == KEPT:
                    held.append(result)
                asked = {"messages": (result["messages"] if before else []) + question()["messages"]}
                del result, before
                gc.collect()
                begun, used = perf_counter_ns(), process_time_ns()
                chat.invoke(asked, thread(repeat))
                times[name].append((perf_counter_ns() - begun) / 1e6)
                busy[name].append((process_time_ns() - used) / 1e6)
            held.clear()
    return times, busy


def calls(size: int, repeats: int) -> dict[str, float]:
    """The microseconds of CPU that each call of ours takes within a turn, medians."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, spellkeep_saver(Path(folder)) as saver:
        counts: dict[str, int] = defaultdict(int)

        def timed(name: str) -> None:
            call = getattr(saver, name)

            def timing(*arguments: Any) -> Any:
                begun = thread_time_ns()
                result = call(*arguments)
                used = (thread_time_ns() - begun) / 1e3
                counts[name] += 1
                found[name if name == "get_tuple" else f"{name} {counts[name]}"].append(used)
                return result

            setattr(saver, name, timing)

        for name in ("get_tuple", "put", "put_writes"):
            timed(name)
        chat = graph(saver, 2 * repeats)
        for repeat in range(repeats):
            chat.update_state(thread(repeat), {"messages": messages(size - 2)})
            chat.invoke(question(), thread(repeat))
            asked = question()
            gc.collect()
            counts.clear()
            begun = {name: len(each) for name, each in found.items()}
            chat.invoke(asked, thread(repeat))
            for name, each in found.items():
                del each[repeat : begun.get(name, 0)]
    return {name: statistics.median(each) for name, each in sorted(found.items()) if len(each) == repeats}


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the results go")
    parser.add_argument("--quick", action="store_true", help="three repeats, to try it out")
    chosen = parser.parse_args()
    results = Results(
        name="langgraph-turn",
        title="LangGraph: what a turn costs",
        method=f"{VERSION}: invoke of a one-node MessagesState graph, savers in turn, in another order in each repeat, "
        "on threads of their own. 'nothing' is a saver that keeps nothing and always hands out the same messages. "
        "With 'result kept' the program still holds what the turn before returned, so that ours must hand out copies. "
        "Figures of CPU count all threads of the process and depend less on what else the machine does. What ours "
        "takes beside nothing are six calls, listed with what they take: finding out what changed, encoding it, "
        "and one record of the log for each put. They are some 70 Python functions a call, run once a turn after "
        "LangGraph's own code has had the caches; the same calls one after the other take half as long. What "
        "1,000 messages add is looking three times a turn whether anybody has touched one, and copying lists of "
        "references.",
        machine=machine.describe(Path(tempfile.gettempdir())),
    )
    for size, often in SIZES.items():
        repeats = 3 if chosen.quick else often
        times, busy = measure(size, repeats)
        medians = {name: statistics.median(each) for name, each in times.items()}
        print(f"{size} messages, {repeats} repeats")
        for name, each in times.items():
            beside = medians[name] / medians["nothing"]
            print(f"  {name:30}{medians[name]:9.2f} ms{beside:7.2f} x nothing{min(each):9.2f} to {max(each):.2f}")
            row = Row(
                f"turn at {size} messages", name, SURVIVES.get(name, "none"), "us", 1, [1e3 * one for one in each]
            )
            if name == KEPT:
                row.survives = SURVIVES[OURS]
            elif name != OURS:
                ratios = [ours / theirs for ours, theirs in zip(times[OURS], each, strict=True)]
                row.beside = OURS
                row.ratio = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
            results.rows.append(row)
        for goal, limit in (("nothing", 1.05), ("InMemorySaver", 1 if size < 1_000 else 0.2)):
            over = [ours / other for ours, other in zip(times[OURS], times[goal], strict=True)]
            results.goals.append(
                Goal(
                    f"turn at {size} beside {goal}",
                    f"time of a turn over that with {goal}",
                    statistics.median(over),
                    "ratio",
                    at_most=limit,
                    spread=(min(over), max(over)),
                )
            )
        over = [ours / other for ours, other in zip(busy[OURS], busy["nothing"], strict=True)]
        results.goals.append(
            Goal(
                f"CPU of a turn at {size} beside nothing",
                f"CPU time over that with nothing. {min(busy[OURS]) * 1e3:,.0f} / {min(busy['nothing']) * 1e3:,.0f} us "
                "at the least",
                statistics.median(over),
                "ratio",
                spread=(min(over), max(over)),
            )
        )
        for name, used in calls(size, repeats).items():
            what = f"CPU of {name} within a turn at {size}"
            results.goals.append(Goal(what, "thread time of the call, median", used, "us"))
    for goal in results.goals:
        verdict = "" if goal.at_most is None else f", at most {goal.at_most}: {'met' if goal.met else 'NOT met'}"
        print(f"{goal.name}: {goal.figure:.2f}{verdict}")
    if chosen.json:
        results.write(chosen.json)


if __name__ == "__main__":
    main()
