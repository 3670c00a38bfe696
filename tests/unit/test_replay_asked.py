"""What is asked of replay and is not as it should be is refused in words; and what comparing shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replayed
import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks import Execution, HookResult
from spellkeep.replay import compare

SCOUT = StateScope.agent("scout")
Asking = Callable[[StateManager, list[Execution]], object]


@pytest.fixture(scope="module")
def state() -> Iterator[StateManager]:
    with sk.open("memory:", allow_replay=True) as opened:
        opened.hooks.before("set", name="steady")(replayed.steady)
        for number in (1, 2):
            opened.set(SCOUT, "a", {"n": number})
        assert opened.hooks.drain(60)
        yield opened


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda s, f: s.replay.select(ids=[f[0]]), TypeError, "Execution.id"),
        (lambda s, f: s.replay.select(hook=("steady",)), TypeError, "hook= is a text"),
        (lambda s, f: s.replay.select(scope="agent:scout"), TypeError, "scope= is a StateScope"),
        (lambda s, f: s.replay.select(result="veto"), ValueError, "proceeded, modified, cancelled"),
        (lambda s, f: s.replay.select(since="2026-01-01"), TypeError, "since= is a datetime"),
        (lambda s, f: s.replay.select(until=datetime.now().date()), TypeError, "until= is a datetime"),
        (lambda s, f: s.replay.select(correlation=3), TypeError, "correlation= is a text"),
        (lambda s, f: s.replay.select(limit=2.5), TypeError, "a number of executions"),
        (lambda s, f: s.replay.verify([f[0].id]), TypeError, "what select gives"),
        (lambda s, f: s.replay.verify(f, hook="replayed:steady"), TypeError, "isolate=True"),
        (lambda s, f: s.replay.verify(f, hook=replayed.steady, isolate=True), ValueError, "module:attribute"),
        (lambda s, f: s.replay.verify(f, hook=5), TypeError, "a hook is a function"),
        (lambda s, f: s.replay.simulate(f, hook=5), TypeError, "a hook is a function"),
        (lambda s, f: s.replay.verify(f, ignore="value"), TypeError, "several str"),
        (lambda s, f: s.replay.verify(f, ignore=[1]), TypeError, "several str"),
        (lambda s, f: s.replay.start("guess", f), ValueError, "verify, substitute, what_if, simulate"),
        (lambda s, f: s.replay.start("verify", f, hooks=["steady"]), TypeError, "goes with substitute"),
        # It would have run on other parameters and said that it was verified.
        (lambda s, f: s.replay.start("verify", f, parameters={"value.n": 5}), TypeError, "goes with what_if"),
        (lambda s, f: s.replay.substitute(f, hooks="steady"), TypeError, "takes hooks="),
        (lambda s, f: s.replay.substitute(f, hooks=["steady"], hook=replayed.steady), TypeError, "takes hooks="),
        # Nothing ran, and nothing differed.
        (lambda s, f: s.replay.substitute(f, hooks=["staedy"]), errors.KeyMissing, "'staedy'"),
        (lambda s, f: s.replay.what_if(f, {"value": object()}), errors.NotSerializable, "cannot keep an object"),
    ],
)
def test_what_is_no_such_thing_is_refused(state: StateManager, ask: Asking, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        ask(state, state.replay.select())


@pytest.mark.parametrize("path", ["nothing.there", "value.n.deeper", "value.list.0", 3, (), ("value", 1, 2)])
def test_a_path_that_leads_nowhere_is_an_error_of_the_item(state: StateManager, path: Any) -> None:
    report = state.replay.what_if(state.replay.select(limit=1), {path: 1})
    assert [item.status for item in report] == ["error"]
    assert report[0].detail.startswith("replay.path:")


def test_one_execution_and_any_iterable_will_do(state: StateManager) -> None:
    found = state.replay.select()
    assert state.replay.verify(found[0]).counts == {"same": 1}  # type: ignore[arg-type]
    assert state.replay.verify(iter(found), ignore=iter(["error"])).counts == {"same": 2}
    assert state.replay.substitute(iter(found), hooks=iter(["steady"])).counts == {"same": 2}
    assert state.replay.substitute([], hooks=["nobody"]).counts == {}


@pytest.mark.parametrize(
    ("left", "right", "shown", "score"),
    [
        # An item more moves none of the others.
        ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], ["0: (nothing) -> 0"], 5 / 6),
        ({"a": [1, 2, 3]}, {"a": [1, 3]}, ["a.1: 2 -> (nothing)"], 2 / 3),
        ([1, 2, 3], [4, 5], ["0: 1 -> 4", "1: 2 -> 5", "2: 3 -> (nothing)"], 0),
        # Keys are what they are, and not how they look.
        ({1: 1}, {"1": 1}, ["1: 1 -> (nothing)", "1: (nothing) -> 1"], 0),
        ({"a.b": 1}, {"a": {"b": 1}}, ["a.b: 1 -> (nothing)", "a.b: (nothing) -> 1"], 0),
        # A tuple is no list, and 1 is not 1.0.
        ({"a": (1, 2)}, {"a": [1, 2]}, ["a: [1, 2] (tuple) -> [1, 2] (list)"], 0),
        ({"a": 1, "b": 2}, {"a": 1.0, "b": 2}, ["a: 1 -> 1.0"], 1 / 2),
        ({"a": {}}, {}, ["a: {} -> (nothing)"], 0),
        ({"a": {"b": 1, "c": 2}}, {}, ["a.b: 1 -> (nothing)", "a.c: 2 -> (nothing)"], 0),
        (float("nan"), float("nan"), [], 1),
        ({}, {}, [], 1),
        ([np.arange(3)], [np.arange(3), np.arange(2)], ["1: (nothing) -> '<ndarray>'"], 1 / 2),
    ],
)
def test_what_differs_is_shown_and_scored(left: Any, right: Any, shown: list[str], score: float) -> None:
    found = compare(left, right)
    assert [str(each) for each in found.differences] == shown
    assert (found.score, found.same) == (pytest.approx(score), not shown)


def test_of_long_texts_the_part_that_differs_is_shown_and_no_secret() -> None:
    (shown,) = map(str, compare("x" * 500 + "left", "x" * 500 + "right").differences)
    assert shown == f": ...'{'x' * 30}left' -> ...'{'x' * 30}right'"
    key = "sk-proj-canary0123456789abcdef"
    (shown,) = map(str, compare(f"{'x' * 500} {key} left", f"{'x' * 500} {key} right").differences)
    assert "canary" not in shown
    assert shown.endswith(" right'")


def test_ignoring_leaves_out_places_and_all_below_them() -> None:
    left = {"at": 1, "lines": [{"id": 1, "n": {"x": 1}}, {"id": 2, "n": 5}], "a+b": 1}
    right = {"at": 2, "lines": [{"id": 3, "n": {"x": 2}}, {"id": 4, "n": 5}], "a+b": 2}
    places = ["at", "lines.*.id", "lines.0.n", "a+b"]
    assert compare(left, right, ignore=places).same
    for missing in places:
        assert not compare(left, right, ignore=[each for each in places if each != missing]).same
    with pytest.raises(TypeError, match="several str"):
        compare(left, right, ignore="at")


def test_what_stands_under_a_key_that_names_a_secret_is_not_shown(tmp_path: Path) -> None:
    # The value of such an entry has no name of a field: it was in reports and in what schedules keep.
    canary, scout = "canary-5c1d", StateScope.agent("scout")

    def write(context: Any) -> None:
        context.state.set(scout, "context/token", canary)
        context.state.set(scout, "context/token/more", {"deep": [canary]})

    with sk.open(tmp_path, allow_replay=True) as state:
        state.hooks.before("set", name="look", key="*password")(lambda context: None)
        state.set(scout, "context/password", "first")
        assert state.hooks.drain(60)
        found = state.replay.select(hook="look")
        reports = [
            state.replay.verify(found, hook=lambda context: HookResult.modify(canary)),
            state.replay.verify(found, hook=lambda context: HookResult.modify({"deep": [canary]})),
            state.replay.what_if(found, {"value": canary}, hook=lambda context: HookResult.modify(context.value)),
            state.replay.what_if(found, {}, hook=write),
        ]
        for report in reports:
            assert report.counts == {"different": 1}
            assert canary not in str(report) + json.dumps(report.document())
        assert "value: (nothing) -> [redacted]" in str(reports[0])
        assert "writes.0.2: (nothing) -> 'context/token'" in str(reports[3])
    # Where no hook is registered nothing runs by itself.
    with sk.open(tmp_path, allow_replay=True) as state:
        state.replay.schedule("check", after_s=0, hook="look")
        (run,) = state.replay.run_due(lambda context: HookResult.modify(canary))
        assert run.result == "different" and canary not in repr(run)
