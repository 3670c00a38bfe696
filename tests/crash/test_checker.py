"""The check itself: each fault that it is for is planted, and must be reported as what it is."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest

import spellkeep
from crash.harness import observe, parse
from crash.model import LOST, PHANTOM, RESURRECTED, TORN, WRONG, Done, Finding, Model, Observed, Seen
from crash.ops import Op, Write, value_of
from crash.writer import based_on_now, perform
from spellkeep import StateManager

SCOPE = "agent:t0"
AUX = "session:t0"


def _set(key: str, mark: str, scope: str = SCOPE) -> Op:
    return Op("write", (Write(scope, key, mark, 40),))


def _gone(key: str) -> Op:
    return Op("write", (Write(SCOPE, key, None),))


BATCH = Op("batch", (Write(SCOPE, "x", "m7", 10), Write(AUX, "y", "m8", 10), Write(SCOPE, "a", None)))
ASKED = [
    _set("a", "m1"),
    _set("b", "m2"),
    _gone("b"),
    _gone("b"),
    _set("c", "m3", AUX),
    Op("clear", scope=AUX),
    _set("a", "m4"),
    Op("batch", (Write(SCOPE, "d", "m5", 10), Write(AUX, "e", "m6", 10), Write(SCOPE, "nothing", None))),
]


def _life(*, uncertain: Op | None = None, happened: bool = True) -> tuple[dict[int, list[Done]], Observed]:
    """A real store after real operations of one thread, the last one perhaps without an answer."""
    with spellkeep.open("memory:") as state:
        events = [Done(op, perform(state, op)) for op in ASKED]
        if uncertain is not None:
            if happened:
                perform(state, uncertain)
            events.append(Done(uncertain, acknowledged=False))
        return {0: events}, observe(state, 0, threads=1)


def _kinds(lives: dict[int, list[Done]], observed: Observed) -> set[str]:
    return {finding.kind for finding in Model().check(lives, observed)}


def _without(changes: list[Seen], version: int) -> list[Seen]:
    return [change for change in changes if change.version != version]


def test_a_store_that_kept_everything_has_no_findings() -> None:
    lives, observed = _life()
    model = Model()
    assert model.check(lives, observed) == []
    assert (model.counts["acknowledged"], model.counts["uncertain"]) == (len(ASKED), 0)


@pytest.mark.parametrize("uncertain", [_set("z", "m9"), _gone("a"), Op("clear", scope=SCOPE), BATCH])
@pytest.mark.parametrize("happened", [True, False])
def test_an_uncertain_operation_may_have_happened_or_not(uncertain: Op, happened: bool) -> None:
    lives, observed = _life(uncertain=uncertain, happened=happened)
    assert _kinds(lives, observed) == set()


def test_a_second_life_is_held_against_the_first() -> None:
    lives, observed = _life()
    model = Model()
    model.check(lives, observed)
    assert model.check({}, Observed([], observed.live)) == []
    gone = dict(observed.live)
    del gone[SCOPE, "a"]
    assert [finding.kind for finding in model.check({}, Observed([], gone))] == [LOST]


def test_a_planted_loss_is_reported() -> None:
    lives, observed = _life()
    del observed.live[SCOPE, "a"]
    assert _kinds(lives, observed) == {LOST}


def test_a_record_missing_from_the_log_is_reported() -> None:
    lives, observed = _life()
    observed.changes = _without(observed.changes, 1)
    assert _kinds(lives, observed) == {LOST}


def test_an_older_version_that_came_back_is_reported_as_a_loss() -> None:
    lives, observed = _life()
    observed.live[SCOPE, "a"] = (1, value_of("m1", 40))
    assert _kinds(lives, observed) == {LOST}


def test_a_lost_clear_is_reported_with_the_key_that_it_resurrects() -> None:
    lives, observed = _life()
    clear = next(change for change in observed.changes if change.operation == "clear")
    observed.changes = _without(observed.changes, clear.version)
    assert _kinds(lives, observed) == {LOST}
    observed.live[AUX, "c"] = (4, value_of("m3", 40))
    assert LOST in _kinds(lives, observed)


def test_a_planted_wrong_value_is_reported() -> None:
    lives, observed = _life()
    version, value = observed.live[SCOPE, "a"]
    observed.live[SCOPE, "a"] = (version, {**value, "size": 41})
    assert _kinds(lives, observed) == {WRONG}


def test_a_wrong_value_in_the_log_is_reported() -> None:
    lives, observed = _life()
    observed.changes[0] = replace(observed.changes[0], value=value_of("m2", 40))
    assert _kinds(lives, observed) == {WRONG}


def test_a_planted_resurrected_delete_is_reported() -> None:
    lives, observed = _life()
    observed.live[SCOPE, "b"] = (2, value_of("m2", 40))
    assert _kinds(lives, observed) == {RESURRECTED}


def test_a_key_resurrected_after_a_clear_is_reported() -> None:
    lives, observed = _life()
    observed.live[AUX, "c"] = (4, value_of("m3", 40))
    assert _kinds(lives, observed) == {RESURRECTED}


@pytest.mark.parametrize("missing", ["x", "y", "a"])
def test_each_part_of_an_uncertain_batch_that_is_missing_is_reported(missing: str) -> None:
    lives, observed = _life(uncertain=BATCH)
    version = next(change.version for change in reversed(observed.changes) if change.key == missing)
    observed.changes = _without(observed.changes, version)
    assert TORN in _kinds(lives, observed)


def test_a_change_that_nobody_asked_for_is_reported() -> None:
    lives, observed = _life()
    observed.changes.append(Seen(99, "set", SCOPE, "q", 1))
    observed.live[SCOPE, "q"] = (99, 1)
    assert _kinds(lives, observed) == {PHANTOM}


def test_a_compare_and_set_over_a_version_that_it_did_not_see_is_reported() -> None:
    cas = [Op("write", (Write(SCOPE, "n", f"m{n}", 10, if_version=0),)) for n in range(2)]
    lives = {0: [Done(cas[0], 1)], 1: [Done(cas[1], 2)]}
    changes = [Seen(n + 1, "set", SCOPE, "n", value_of(f"m{n}", 10)) for n in range(2)]
    observed = Observed(changes, {(SCOPE, "n"): (2, value_of("m1", 10))})
    assert [finding.kind for finding in Model().check(lives, observed)] == [WRONG]


def test_versions_of_one_thread_that_go_back_are_reported() -> None:
    lives, observed = _life()
    swapped = copy.deepcopy(lives)
    swapped[0][0].result, swapped[0][1].result = lives[0][1].result, lives[0][0].result
    assert WRONG in _kinds(swapped, observed)


def test_a_thread_that_went_on_without_an_answer_is_reported() -> None:
    lives, observed = _life()
    lives[0][0].acknowledged = False
    assert WRONG in _kinds(lives, observed)


def test_what_threads_say_is_read_back_and_a_conflict_changes_nothing() -> None:
    lines = [
        [0, "ready"],
        [1, "does", _set("a", "m1").to_plain()],
        [1, "done", "conflict"],
        [1, "does", BATCH.to_plain()],
    ]
    lives = parse("".join(json.dumps(line) + "\n" for line in lines).encode())
    assert lives == {0: [], 1: [Done(_set("a", "m1"), "conflict"), Done(BATCH, acknowledged=False)]}
    assert Model().check(lives, Observed([], {})) == []


def test_a_conflict_is_answered_as_one() -> None:
    with spellkeep.open("memory:") as state:
        assert _twice(state) == [1, "conflict"]


def _twice(state: StateManager) -> list[object]:
    op = based_on_now(state, _set("n", "m1"))
    return [perform(state, op), perform(state, op)]


def test_a_finding_reads_as_a_line() -> None:
    assert str(Finding(LOST, "x")) == "lost: x"
