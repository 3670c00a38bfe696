"""Puts the files of all benchmarks together: prints the tables, writes docs/performance.md and README's figures.

    python -m rivals.report FOLDER [--page docs/performance.md] [--readme README.md]

Every figure on either page comes from such files. A section of the page whose benchmark has no file here stays.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rivals.contenders.protocol import SURVIVES
from rivals.results import Goal, Results, Row

# Files in this order, then whatever else there is.
ORDER = (
    "overhead",
    "rivals",
    "agents",
    "timelines",
    "hooks",
    "reopen",
    "tails",
    "threads",
    "langgraph-growth",
    "langgraph-turn",
)
README_BEGIN = "<!-- figures: written by make bench -->"
README_END = "<!-- end of figures -->"
_README_SET, _README_GET = "set 1 KB", "get 1 KB"


_HOW_TO_READ = """\
Written by `make bench`, the sections on LangGraph by `make bench-langgraph`, the one on hooks by `make bench-hooks`,
from what they measured; nothing here is edited by hand. `QUICK=1` is shorter.

A figure is the median over the repeats of one run, min-max their range. Percentiles are of single operations, and left
out where fewer than ten were slower. `count` is operations in a repeat: slow contenders do fewer. `survives` is what an
acknowledged write survives at least. Ratios are taken repeat by repeat, ours over theirs, of contenders that keep as
much: a rival that survives a power loss stands beside Spellkeep with `durability="sync"`. Memory is the process's own
(of Redis the server's): stores that keep values in files alone need little of it.
Why a goal is missed, part by part: decisions/0009-what-a-set-is-made-of.md, and of LangGraph's
decisions/0010-what-a-langgraph-turn-is-made-of.md.
""".splitlines()


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or value != value:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A Markdown table whose columns are even, so that it reads in a terminal too. The first column is text."""
    cells = [head, *rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    left = {at for at, word in enumerate(head) if at == 0 or word in _TEXT}
    lines = []
    for row in cells:
        even = (cell.ljust(widths[at]) if at in left else cell.rjust(widths[at]) for at, cell in enumerate(row))
        lines.append(f"| {' | '.join(even)} |")
    rule = (("-" * width) if at in left else "-" * (width - 1) + ":" for at, width in enumerate(widths))
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


_TEXT = ("what", "rival", "workload", "definition", "survives", "configured", "met", "beside")


def _goal_rows(goals: list[Goal]) -> Iterator[list[str]]:
    for goal in sorted(goals, key=lambda goal: {False: 0, None: 2, True: 1}[goal.met]):
        unit = {"ratio": "", "count": "", "bytes": " B"}.get(goal.unit, f" {goal.unit}")
        wanted = ""
        if goal.at_most is not None:
            wanted = f"<= {goal.at_most:g}{unit}"
        elif goal.at_least is not None:
            wanted = f">= {goal.at_least:g}{unit}"
        spread = f"{number(goal.spread[0])}-{number(goal.spread[1])}" if goal.spread else ""
        met = {True: "met", False: "MISSED", None: ""}[goal.met]
        words = f"{goal.definition}. {goal.note}".strip().removesuffix(".")
        yield [goal.name, number(goal.figure) + unit, spread, wanted, met, words]


def _goals(goals: list[Goal]) -> list[str]:
    return table(["what", "figure", "min-max", "goal", "met", "definition"], _goal_rows(goals)) if goals else []


def _losing(rows: list[Row]) -> list[str]:
    lost = sorted(
        (row for row in rows if row.ratio and row.ratio["median"] >= 1),
        key=lambda row: -row.ratio["median"],  # type: ignore[index]
    )
    if not lost:
        return ["None."]
    lines = []
    for row in lost:
        found = row.ratio or {}
        spread = f"{number(found['min'])}-{number(found['max'])}"
        beside = f"{row.beside}"
        lines.append([row.workload, row.contender, number(found["median"]), spread, beside, SURVIVES[row.survives]])
    return table(["workload", "rival", "ours / theirs", "min-max", "beside", "survives"], lines)


def _matrix(rows: list[Row]) -> list[str]:
    """Ours over theirs for every workload and rival, the workloads with the greatest ratio first."""
    names = list(dict.fromkeys(row.contender for row in rows if row.ratio))
    workloads = list(dict.fromkeys(row.workload for row in rows))
    found = {(row.workload, row.contender): row.ratio["median"] for row in rows if row.ratio}
    worst = {work: max((found.get((work, name), 0.0) for name in names), default=0.0) for work in workloads}
    workloads.sort(key=lambda work: -worst[work])
    body = [
        [work, *(number(found[work, name]) if (work, name) in found else "-" for name in names)] for work in workloads
    ]
    return table(["workload", *names], body)


def _workload(rows: list[Row]) -> list[str]:
    percents = [name for name in ("p50", "p99", "p99.9", "p99.99") if any(name in row.percentiles for row in rows)]
    unit = rows[0].unit
    body = []
    for row in sorted(rows, key=lambda row: statistics.median(row.repeats)):
        spread = f"{number(min(row.repeats))}-{number(max(row.repeats))}" if len(row.repeats) > 1 else "-"
        quantiles = [number(row.percentiles[name]) if name in row.percentiles else "-" for name in percents]
        ours = number(row.ratio["median"]) if row.ratio else "-"
        median = number(statistics.median(row.repeats))
        body.append([row.contender, median, spread, *quantiles, f"{row.count:,}", SURVIVES[row.survives], ours])
    return table(["rival", unit, "min-max", *percents, "count", "survives", "ours / theirs"], body)


def section(results: Results) -> list[str]:
    """One benchmark's part of the page."""
    where = results.machine
    lines = [f"## {results.title}", "", results.method, ""]
    # Named each time: a section may be measured again on another machine than the others.
    lines += [
        f"Measured {where['date']} at {where['commit']} on {where['processor']}, load {where['load']}: "
        f"`{where['command']}`.",
        "",
    ]
    if results.goals:
        lines += [*_goals(results.goals), ""]
    if any(row.ratio for row in results.rows):
        lines += ["### Where Spellkeep loses", "", *_losing(results.rows), ""]
        lines += [
            "### Ours over theirs",
            "",
            "Below 1 Spellkeep is faster, or smaller.",
            "",
            *_matrix(results.rows),
            "",
        ]
    for workload in dict.fromkeys(row.workload for row in results.rows):
        lines += [f"### {workload}", "", *_workload([row for row in results.rows if row.workload == workload]), ""]
    if results.contenders:
        body = [[name, words["survives"], words["settings"]] for name, words in results.contenders.items()]
        lines += ["### How each is configured", "", *table(["rival", "survives", "configured"], body), ""]
    if results.missing:
        lines += ["Not measured:", "", *(f"- {line}" for line in results.missing), ""]
    return lines


def page(all_results: list[Results]) -> str:
    """docs/performance.md."""
    where = next((each for each in all_results if each.name == "rivals"), all_results[0]).machine
    lines = ["# Performance", "", *_HOW_TO_READ, ""]
    lines += [
        f"Machine, but where a section names another one: {where['processor']}; {where['system']}; {where['python']}. "
        f"{where['versions']}.",
        "",
    ]
    for results in all_results:
        lines += section(results)
    return "\n".join(lines).rstrip() + "\n"


def updated(old: str, new: str, *, whole: bool) -> str:
    """The sections of a new page in place of those of the old one with the same headings, others behind them.

    Args:
        whole: whether what stands before the sections is the new one's, too.
    """
    (old_head, *old_sections), (new_head, *new_sections) = (
        (text.rstrip() + "\n").split("\n## ") for text in (old, new)
    )
    sections = {text.partition("\n")[0]: text.rstrip() + "\n" for text in [*old_sections, *new_sections]}
    return "\n## ".join([new_head if whole else old_head, *sections.values()])


def readme_figures(rivals: Results) -> list[str]:
    """README's table: one write and one read."""
    reads = {row.contender: row for row in rivals.rows if row.workload == _README_GET}
    writes = [row for row in rivals.rows if row.workload == _README_SET]
    where = rivals.machine
    body = []
    for row in sorted(writes, key=lambda row: statistics.median(row.repeats)):
        read = reads.get(row.contender)
        cells = [
            number(statistics.median(row.repeats)),
            number(row.percentiles["p99"]) if "p99" in row.percentiles else "-",
        ]
        cells.append(number(statistics.median(read.repeats)) if read else "-")
        body.append([row.contender, *cells, SURVIVES[row.survives]])
    return [
        f"`make bench`, {where['date']}, load {where['load']}, on {where['processor']},",
        f"{where['system']}, {where['python']}. Microseconds; a value of 1 KB that differs from the",
        "stored one. Every workload, the lost ones first: [docs/performance.md](docs/performance.md).",
        "",
        *table(["what", "set", "p99", "get", "survives"], body),
    ]


def with_figures(readme: str, figures: list[str]) -> str:
    """README.md with these between its marks. Raises: ValueError when it has none."""
    begin, end = readme.index(README_BEGIN), readme.index(README_END)
    return "\n".join([readme[:begin] + README_BEGIN, "", *figures, "", readme[end:]])


def read_all(folder: Path) -> list[Results]:
    """The files of a folder, in the order of the page."""
    found = [Results.read(path) for path in sorted(folder.glob("*.json"))]
    known = {name: at for at, name in enumerate(ORDER)}
    return sorted(found, key=lambda results: (known.get(results.name, len(ORDER)), results.name))


def main() -> int:
    """Print and write."""
    parser = argparse.ArgumentParser(prog="rivals.report", description="Print the tables and write the pages.")
    parser.add_argument("folder", type=Path, help="of the benchmarks' files")
    parser.add_argument("--page", type=Path, help="where the page goes; else it is only printed")
    parser.add_argument("--readme", type=Path, help="whose figures are replaced")
    chosen = parser.parse_args()
    all_results = read_all(chosen.folder)
    if not all_results:
        print(f"{chosen.folder} has no figures", file=sys.stderr)
        return 1
    text = page(all_results)
    print(text)
    if chosen.page:
        if chosen.page.exists():
            # The head names the machine of the rivals, whose section is the longest.
            whole = any(results.name == "rivals" for results in all_results)
            text = updated(chosen.page.read_text(), text, whole=whole)
        chosen.page.write_text(text)
    rivals = next((results for results in all_results if results.name == "rivals"), None)
    if chosen.readme and rivals and any(row.workload == _README_SET for row in rivals.rows):
        chosen.readme.write_text(with_figures(chosen.readme.read_text(), readme_figures(rivals)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
