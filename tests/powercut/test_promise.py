"""The check itself: each loss that a durability word does not allow is planted, and must be reported as what it is."""

from __future__ import annotations

import json

import pytest

from crash.model import LOST, TORN, WRONG, Done, Finding, Model, Observed, Seen
from crash.ops import Op, Write, value_of
from powercut.promise import holes, judge
from powercut.said import Said, Told

SCOPE = "agent:t0"
CUT_NS = 1_000_000_000
MS = 1_000_000


def _set(mark: str, version: int, age_ms: float = 50, durable: int = 0) -> Said:
    op = Op("write", (Write(SCOPE, "k", mark, 10),))
    return Said(op, version, True, CUT_NS - int(age_ms * MS), durable, version - 1, version)


def _kinds(told: Told, survived: int, allowed_ms: float | None) -> list[str]:
    return [finding.kind for finding in judge(told, survived, CUT_NS, allowed_ms).findings]


def _told(*said: Said) -> Told:
    return Told({0: list(said)})


def test_a_store_that_kept_everything_has_no_findings_and_no_losses() -> None:
    judged = judge(_told(_set("a", 1), _set("b", 2)), 2, CUT_NS, 0.0)
    assert (judged.findings, judged.ages_ms) == ([], [])
    assert [done.result for done in judged.kept[0]] == [1, 2]


def test_an_acknowledged_write_that_sync_lost_is_reported() -> None:
    assert _kinds(_told(_set("a", 1), _set("b", 2, age_ms=0.1)), 1, 0.0) == [LOST]


@pytest.mark.parametrize(("age_ms", "kinds"), [(119, []), (121, [LOST])])
def test_an_interval_may_lose_what_is_younger_than_it_and_nothing_else(age_ms: float, kinds: list[str]) -> None:
    told = _told(_set("a", 1, age_ms=500), _set("b", 2, age_ms=age_ms))
    assert _kinds(told, 1, 120.0) == kinds
    assert judge(told, 1, CUT_NS, 120.0).ages_ms == [age_ms]


def test_process_may_lose_any_suffix_and_the_rest_is_compared() -> None:
    judged = judge(_told(_set("a", 1, age_ms=9_000), _set("b", 2, age_ms=8_000)), 1, CUT_NS, None)
    assert judged.findings == []
    assert [done.result for done in judged.kept[0]] == [1]


@pytest.mark.parametrize("allowed_ms", [0.0, 120.0, None])
def test_what_was_called_durable_must_be_there_whatever_the_word(allowed_ms: float | None) -> None:
    told = _told(_set("a", 1, age_ms=1), _set("b", 2, age_ms=0.5, durable=1))
    assert LOST in _kinds(told, 0, allowed_ms)
    reopened = _told()
    reopened.durable = 1
    assert _kinds(reopened, 0, allowed_ms) == [LOST]


def test_what_came_back_once_the_power_was_going_may_be_lost() -> None:
    assert _kinds(_told(_set("a", 1), _set("b", 2, age_ms=-1, durable=2)), 1, 0.0) == []


@pytest.mark.parametrize("allowed_ms", [0.0, None])
def test_a_batch_of_which_a_part_is_above_the_last_version_is_reported(allowed_ms: float | None) -> None:
    op = Op("batch", (Write(SCOPE, "a", "m1", 10), Write(SCOPE, "b", None), Write(SCOPE, "c", "m2", 10)))
    told = _told(Said(op, [4, 0, 5], True, CUT_NS - MS, 0, 3, 5))
    assert _kinds(told, 4, allowed_ms) == [TORN]
    assert _kinds(told, 5, allowed_ms) == []


def test_a_write_that_is_there_while_an_earlier_one_of_its_thread_is_not_is_reported() -> None:
    assert WRONG in _kinds(_told(_set("a", 7), _set("b", 3)), 5, None)


@pytest.mark.parametrize("versions", [[2, 3], [1, 3], [1, 1], [2, 1]])
def test_a_hole_in_the_log_is_reported(versions: list[int]) -> None:
    assert [finding.kind for finding in holes([Seen(v, "set", SCOPE, "k") for v in versions], 0)][:1] == [WRONG]
    assert holes([Seen(v, "set", SCOPE, "k") for v in (5, 6, 7)], 4) == []


def _clear(after: int, upto: int) -> Said:
    return Said(Op("clear", scope=SCOPE), 1, True, CUT_NS - MS, 0, after, upto)


def test_a_clear_that_sync_lost_is_reported_even_where_its_version_is_not_known() -> None:
    assert _kinds(_told(_clear(4, 5)), 4, 0.0) == [LOST]
    assert _compared(_told(_set("a", 3), _clear(3, 6)), 4, 0.0) == [LOST]
    assert _compared(_told(_set("a", 3), _clear(3, 6)), 4, None) == []


def _compared(told: Told, survived: int, allowed_ms: float | None) -> list[str]:
    """With a store in which the set of version 3 is live, and whose version 4 another thread wrote."""
    changes = [Seen(3, "set", SCOPE, "k", value_of("a", 10)), Seen(4, "set", SCOPE, "o", value_of("o", 10))]
    live = {(SCOPE, "k"): (3, value_of("a", 10)), (SCOPE, "o"): (4, value_of("o", 10))}
    told.threads[1] = [Said(Op("write", (Write(SCOPE, "o", "o", 10),)), 4, True, CUT_NS - MS, 0, 3, 4)]
    kept = judge(told, survived, CUT_NS, allowed_ms).kept
    return [finding.kind for finding in Model(version=2).check(kept, Observed(changes, live))][:1]


def test_what_follows_a_lost_operation_is_no_longer_expected() -> None:
    uncertain = Said(Op("write", (Write(SCOPE, "z", "z", 10),)))
    conflict = Said(Op("write", (Write(SCOPE, "n", "n", 10, 3),)), "conflict", True, CUT_NS - MS)
    judged = judge(_told(_set("a", 1), _set("b", 2), conflict, uncertain), 1, CUT_NS, None)
    assert judged.kept[0] == [Done(_set("a", 1).op, 1)]


def test_what_a_writer_told_is_read_back() -> None:
    told = Told()
    op = _set("a", 1).op
    lines = [
        [4, "ready", 7, CUT_NS - 1],
        [4, "does", op.to_plain()],
        [4, "done", 8, CUT_NS - MS, 7, 7, 8],
        [4, "does", Op("flush").to_plain()],
        [4, "failed", "Poisoned: no", CUT_NS + 1],
    ]
    told.hear("".join(json.dumps(line) + "\n" for line in lines).encode(), CUT_NS)
    assert told.threads == {4: [Said(op, 8, True, CUT_NS - MS, 7, 7, 8), Said(Op("flush"))]}
    assert (told.durable, told.failures) == (7, [(CUT_NS + 1, "Poisoned: no")])
    late = Told()
    late.hear(b'[0,"ready",9,1000000001]\n', CUT_NS)
    assert late.durable == 0


def test_a_finding_says_how_old_the_lost_write_was() -> None:
    (finding,) = judge(_told(_set("a", 1, age_ms=12)), 0, CUT_NS, 0.0).findings
    assert finding == Finding(LOST, "write 1 of [('agent:t0', 'k')], acknowledged 12.0 ms before the cut, is gone")
