"""That the benchmarks measure and report what they say. Nothing here looks at how long something takes."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise
from pathlib import Path

import ormsgpack
import pytest

from rivals import report
from rivals.contenders import load
from rivals.race import Calls, race
from rivals.results import Goal, Results, Row
from rivals.stats import clock_cost_ns, percentile, percentiles_us, ratio
from rivals.values import Feed, value
from rivals.workloads import WORKLOADS

CANNED = Path(__file__).parent / "canned.json"


def test_percentiles_are_the_measured_values_that_so_many_do_not_exceed() -> None:
    ordered = list(range(1, 1001))
    assert [percentile(ordered, percent) for percent in (50, 99, 99.9, 99.99, 100)] == [500, 990, 999, 1000, 1000]
    assert percentile([7], 50) == 7
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_percentile_that_fewer_than_ten_measured_values_exceed_is_left_out() -> None:
    singles = array("q", range(1000, 1_001_000, 1000))
    random.Random(1).shuffle(singles)
    assert percentiles_us(singles) == {"p50": 500.0, "p99": 990.0}
    assert percentiles_us(array("q", [5000])) == {"p50": 5.0}


def test_ratios_are_taken_repeat_by_repeat() -> None:
    assert ratio([1, 20, 3], [2, 10, 3]) == {"median": 1.0, "min": 0.5, "max": 2.0}


def test_what_the_clock_takes_is_measured() -> None:
    assert clock_cost_ns() > 0


def _recording(name: str, order: list[str]) -> Calls:
    return Calls(name, lambda key, value: order.append(name), Feed(["a", "b"], 120).writes, pairs=True)


def test_contenders_take_turns_within_each_repeat() -> None:
    order: list[str] = []
    series = race([_recording(name, order) for name in "ABC"], repeats=7, box_s=0.0, count_max=4)
    # Each finds its count first, in two times; then one turn that warms up and seven that count, each in an order
    # of its own.
    assert order[:6] == list("AABBCC") and len(order) == 6 + 8 * 3
    repeats = ["".join(order[at : at + 3]) for at in range(6, 30, 3)]
    assert {"".join(sorted(each)) for each in repeats} == {"ABC"} and len(set(repeats)) > 2
    assert [len(each.repeats_us) for each in series] == [7, 7, 7]


def test_fewer_than_seven_repeats_are_not_to_be_had() -> None:
    [series] = race([_recording("A", [])], repeats=1, box_s=0.0, count_max=4)
    assert len(series.repeats_us) == 7


def test_every_single_operation_is_timed() -> None:
    [series] = race([_recording("A", [])], repeats=7, box_s=10.0, count_max=4)
    assert (series.count, len(series.singles_ns)) == (4, 7 * 2)


def test_of_an_operation_that_is_a_turn_by_itself_the_turn_is_its_time() -> None:
    [series] = race([_recording("A", [])], repeats=7, box_s=0.0, count_max=1)
    assert [each / 1000 for each in series.singles_ns] == series.repeats_us


@pytest.mark.parametrize("size_bytes", sorted({workload.size_bytes for workload in WORKLOADS if workload.keys > 4}))
def test_no_write_stores_what_is_there(size_bytes: int) -> None:
    feed = Feed([f"key/{number}" for number in range(7)], size_bytes)
    stored = dict(feed.first())
    for key, written in [*feed.writes(40), *feed.writes(23)]:
        assert written != stored[key]
        stored[key] = written


def test_new_keys_are_new() -> None:
    feed = Feed(["a", "b"], 120)
    keys = [key for key, _ in [*feed.new(30, "n"), *feed.new(30, "n")]]
    assert len(set(keys)) == 60


@pytest.mark.parametrize("size_bytes", sorted({workload.size_bytes for workload in WORKLOADS}))
def test_values_have_about_the_size_that_the_tables_say(size_bytes: int) -> None:
    values = [value(number, size_bytes) for number in range(2 if size_bytes > 10_000 else 50)]
    packed = [ormsgpack.packb(each) for each in values]
    assert abs(sum(map(len, packed)) / len(packed) / size_bytes - 1) < 0.2
    assert all(one != other for one, other in pairwise(packed))
    assert values[1] == value(1, size_bytes)


def test_a_rival_that_is_not_installed_is_skipped_with_a_line_that_says_so() -> None:
    found, skipped = load((("by_hand", "PackedDict"), ("no_such_rival", "Nobody")))
    assert [each.name for each in found] == ["dict of packed values"]
    assert skipped == [
        "SKIPPED no_such_rival.Nobody: rivals.contenders.no_such_rival is not installed "
        "(benches/rivals/requirements.txt)"
    ]


def test_a_goal_is_met_at_its_bound_and_not_beyond() -> None:
    def met(figure: float, **bound: float) -> bool | None:
        return Goal("x", "y", figure, "ratio", **bound).met  # type: ignore[arg-type]

    assert [met(0.5, at_most=0.5), met(0.51, at_most=0.5)] == [True, False]
    assert [met(10, at_least=10), met(9.9, at_least=10), met(1)] == [True, False, None]


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    row, goal = Row("w", "c", "kill", "us", 1, [1.0]), Goal("g", "d", 1, "ratio")
    results = Results("x", "X", "m", {"date": "d"}, [row], [goal])
    results.write(tmp_path / "deep" / "x.json")
    assert Results.read(tmp_path / "deep" / "x.json") == results


def test_the_page_has_every_figure_and_what_is_lost_comes_first() -> None:
    results = Results.read(CANNED)
    text = report.page([results])
    words = [" ".join(line.split()) for line in text.splitlines()]
    assert "| set 1 KB | Fast | 2.00 | 2.00-2.00 | Spellkeep, interval | kill -9 |" in words
    assert "| Slow | 200 | 100-300 | 190 | - | 20 | kill -9 | 0.010 |" in words
    assert "| Fast | kill -9 | fast=1 |" in words
    assert "- SKIPPED Redis: redis-server is not on PATH" in words
    lost = text[text.index("### Where Spellkeep loses") : text.index("### Ours over theirs")]
    assert "Slow" not in lost
    assert text.index("| broken") < text.index("| kept")
    assert "MISSED" in next(line for line in words if line.startswith("| broken"))
    assert text.index("### Where Spellkeep loses") < text.index("### set 1 KB")


def test_the_page_has_a_section_for_every_file_in_one_order(tmp_path: Path) -> None:
    for name in ("zebra", "tails", "reopen", "rivals", "overhead"):
        results = Results.read(CANNED)
        results.name = results.title = name
        results.write(tmp_path / f"{name}.json")
    found = report.read_all(tmp_path)
    assert [results.name for results in found] == ["overhead", "rivals", "reopen", "tails", "zebra"]
    text = report.page(found)
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {each.name}" for each in found]


def test_a_section_whose_benchmark_did_not_run_stays_as_it_is() -> None:
    old = "# P\n\nold head\n\n## A\n\n1\n\n### more\n\n## B\n\n2\n"
    new = "# P\n\nnew head\n\n## B\n\n3\n\n## C\n\n4\n"
    joined = "\n\n## A\n\n1\n\n### more\n\n## B\n\n3\n\n## C\n\n4\n"
    assert report.updated(old, new, whole=False) == "# P\n\nold head" + joined
    assert report.updated(old, new, whole=True) == "# P\n\nnew head" + joined
    assert report.updated(new, new, whole=True) == new


def test_the_readme_gets_the_figures_of_the_same_file_and_keeps_the_rest(tmp_path: Path) -> None:
    readme = f"# Title\n\n{report.README_BEGIN}\nold\n{report.README_END}\n\n## More\n"
    figures = report.readme_figures(Results.read(CANNED))
    changed = report.with_figures(readme, figures)
    assert changed.startswith(f"# Title\n\n{report.README_BEGIN}\n\n")
    assert changed.endswith(f"\n{report.README_END}\n\n## More\n")
    assert "old" not in changed
    words = [" ".join(line.split()) for line in changed.splitlines()]
    assert "| Spellkeep, interval | 2.00 | 4.25 | 7.00 | kill -9 |" in words
    assert report.with_figures(changed, figures) == changed
