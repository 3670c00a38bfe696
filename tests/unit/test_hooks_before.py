"""Hooks before operations: what they see, what they may do, and what they cannot break."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateClass, StateManager, StateScope, errors
from spellkeep.hooks import HookContext, HookPoint, HookResult, Observer, Validator

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def test_a_hook_sees_the_operation_and_what_is_there_before_it(state: StateManager) -> None:
    version = state.set(SCOUT, "plan", {"step": 1})
    seen = list[Any]()

    @state.hooks.before("set", "delete")
    def look(context: HookContext) -> None:
        seen.append((context.operation, context.scope, context.key, context.value, context.old_value, context.version))
        assert (context.state, context.if_version) == (state, version if len(seen) == 1 else None)
        assert state.get(SCOUT, "plan") == context.old_value

    later = state.set(SCOUT, "plan", {"step": 2}, if_version=version)
    state.delete(SCOUT, "plan")
    assert seen == [
        ("set", SCOUT, "plan", {"step": 2}, {"step": 1}, version),
        ("delete", SCOUT, "plan", None, {"step": 2}, later),
    ]


def test_what_a_hook_changes_in_its_value_or_another_thread_in_the_object_is_not_stored(state: StateManager) -> None:
    value = {"safe": True}

    @state.hooks.before("set")
    def meddle(context: HookContext) -> None:
        context.value["safe"] = False
        value["safe"] = False
        assert context.value == {"safe": True}

    state.set(SCOUT, "a", value)
    assert state.get(SCOUT, "a") == {"safe": True}


def test_a_refusal_reaches_the_caller_with_hook_and_reason_and_nothing_is_written(state: StateManager) -> None:
    @state.hooks.before("set", key="plan/*")
    def check(context: HookContext) -> HookResult:
        return HookResult.cancel("a plan has a step")

    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "plan/a", {})
    veto = caught.value
    assert (veto.code, veto.hook, veto.reason) == ("hook.veto", "check", "a plan has a step")
    assert "check" in str(veto) and "a plan has a step" in str(veto)
    assert not state.exists(SCOUT, "plan/a")
    state.set(SCOUT, "other", {})


def test_a_veto_that_is_raised_counts_as_an_answer(state: StateManager) -> None:
    @state.hooks.before("delete")
    def keep(context: HookContext) -> None:
        raise errors.HookVeto("never")

    with pytest.raises(errors.HookVeto, match="never"):
        state.delete(SCOUT, "a")
    (stats,) = state.hooks.stats()
    assert (stats.cancelled_count, stats.failed_count) == (1, 0)


def test_hooks_run_by_priority_and_see_what_the_ones_before_made(state: StateManager) -> None:
    @state.hooks.before("set", priority=2)
    def second(context: HookContext) -> HookResult:
        assert context.metadata == {"first": 1}
        return HookResult.modify([*context.value, 2])

    @state.hooks.before("set", priority=1)
    def first(context: HookContext) -> HookResult:
        context.metadata["first"] = 1
        return HookResult.modify([*context.value, 1])

    state.set(SCOUT, "a", [0], ttl_s=100, state_class=StateClass.TRUSTED)
    entry = state.entry(SCOUT, "a")
    assert (entry.value, entry.state_class) == ([0, 1, 2], StateClass.TRUSTED)
    assert entry.expires_at is not None
    with state.batch() as batch:
        batch.set(SCOUT, "b", [5])
        batch.set(SCOUT, "c", [6])
    assert dict(state.items(SCOUT)) == {"a": [0, 1, 2], "b": [5, 1, 2], "c": [6, 1, 2]}
    assert [info.name for info in state.hooks.ls()] == ["first", "second"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"scope": "agent:*"}, ["agent:scout a", "agent:scout b/c"]),
        ({"scope": "agent:s?out"}, ["agent:scout a", "agent:scout b/c"]),
        ({"scope": "agent:other"}, []),
        ({"scope": "*"}, ["agent:scout a", "agent:scout b/c", "global a", "session:é a"]),
        ({"scope_kind": "session"}, ["session:é a"]),
        ({"scope": "session:%C3%A9"}, ["session:é a"]),
        ({"key": "b/*"}, ["agent:scout b/c"]),
        ({"key": "?"}, ["agent:scout a", "global a", "session:é a"]),
        ({"key": "*b*c*"}, ["agent:scout b/c"]),
        ({"state_class": StateClass.TRUSTED}, ["global a"]),
        ({"scope": "agent:*", "key": "a"}, ["agent:scout a"]),
    ],
)
def test_filters_choose_what_a_hook_is_told(state: StateManager, how: dict[str, Any], told: list[str]) -> None:
    seen = list[str]()

    @state.hooks.before("set", **how)
    def look(context: HookContext) -> None:
        assert context.scope is not None
        seen.append(f"{context.scope} {context.key}".replace("%C3%A9", "é"))

    state.set(SCOUT, "a", 1)
    state.set(SCOUT, "b/c", 1)
    state.set(GLOBAL, "a", 1, state_class=StateClass.TRUSTED)
    state.set(StateScope.session("é"), "a", 1)
    assert seen == told


def test_a_question_mark_is_one_character_of_any_length(state: StateManager) -> None:
    seen = list[str | None]()
    state.hooks.before("set", name="look", key="?/??")(lambda context: seen.append(context.key))
    for key in ("é/éa", "é/é", "e/ab", "ee/ab"):
        state.set(SCOUT, key, 1)
    assert seen == ["é/éa", "e/ab"]


def test_a_batch_is_told_op_by_op_then_whole_and_one_refusal_keeps_all_out(state: StateManager) -> None:
    seen = list[Any]()

    @state.hooks.before("set", "delete", "batch", key="*", history=False)
    def look(context: HookContext) -> HookResult | None:
        if context.operations is None:
            seen.append((context.operation, context.key))
            return None
        seen.append([(each.operation, each.key, each.value) for each in context.operations])
        return HookResult.cancel("too many") if len(context.operations) > 2 else None

    batch = state.batch()
    batch.set(SCOUT, "a", 1)
    batch.delete(SCOUT, "b")
    batch.set(GLOBAL, "c", 3)
    with pytest.raises(errors.HookVeto, match="too many"):
        batch.commit()
    assert seen == [
        ("set", "a"),
        ("delete", "b"),
        ("set", "c"),
        [("set", "a", 1), ("delete", "b", None), ("set", "c", 3)],
    ]
    assert state.last_version == 0
    # As it was: the caller may wait for another answer.
    state.hooks.unregister("look")
    batch.commit()
    assert batch.versions == [1, 0, 2]


def test_a_validator_that_raises_lets_nothing_pass_and_an_observer_everything(state: StateManager) -> None:
    class Strict(Validator):
        points = (HookPoint.BEFORE_SET,)

        def decide(self, context: HookContext) -> HookResult | None:
            raise RuntimeError("broken")

    class Loose(Observer):
        points = (HookPoint.BEFORE_SET,)
        decide = Strict.decide

    name = state.hooks.register(Strict())
    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "a", 1)
    assert (caught.value.code, caught.value.hook) == ("hook.failed", "Strict")
    assert isinstance(caught.value.__cause__, RuntimeError)
    state.hooks.unregister(name)
    state.hooks.register(Loose(), name="loose")
    assert state.set(SCOUT, "a", 1)
    (stats,) = state.hooks.stats()
    assert (stats.count, stats.failed_count, stats.last_error) == (1, 1, "RuntimeError")


@pytest.mark.parametrize("answer", [True, 1, "proceed", HookResult.cancel("no"), HookResult.modify(1)])
def test_an_observer_cannot_change_the_course_and_a_strange_answer_is_a_failure(
    state: StateManager, answer: Any
) -> None:
    state.hooks.before("set", name="odd", fail_closed=False)(lambda context: answer)
    state.set(SCOUT, "a", 0)
    assert (state.get(SCOUT, "a"), state.hooks.stats()[0].failed_count) == (0, 1)
    if not isinstance(answer, HookResult):
        state.hooks.before("set", name="odder")(lambda context: answer)
        with pytest.raises(errors.HookVeto) as caught:
            state.set(SCOUT, "a", 1)
        assert caught.value.code == "hook.failed"


def test_a_modified_value_that_cannot_be_kept_is_refused(state: StateManager) -> None:
    state.hooks.before("set", name="odd")(lambda context: HookResult.modify(object()))
    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "a", 0)
    assert isinstance(caught.value.__cause__, errors.NotSerializable)


def test_not_now_says_when(state: StateManager) -> None:
    state.hooks.before("set", name="limit")(lambda context: HookResult.retry(1.5, "slowly"))
    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "a", 0)
    assert (caught.value.code, caught.value.retry_after_s, caught.value.reason) == ("hook.retry", 1.5, "slowly")


@pytest.mark.parametrize("fail_closed", [True, False])
@pytest.mark.parametrize("what", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception_of_a_program_passes_through_and_is_no_failure(
    state: StateManager, what: type[BaseException], fail_closed: bool
) -> None:
    def interrupted(context: HookContext) -> None:
        raise what

    state.hooks.before("set", fail_closed=fail_closed)(interrupted)
    with pytest.raises(what):
        state.set(SCOUT, "a", 1)
    assert (state.last_version, state.hooks.stats()[0].failed_count) == (0, 0)


def test_a_hook_that_writes_runs_hooks_and_one_that_runs_itself_is_stopped(state: StateManager) -> None:
    depths = list[int]()

    @state.hooks.before("set", key="down/*")
    def down(context: HookContext) -> None:
        assert context.key is not None
        depths.append(int(context.key[5:]))
        context.state.set(SCOUT, f"down/{depths[-1] + 1}", 1)

    @state.hooks.before("set", key="once")
    def copy(context: HookContext) -> None:
        context.state.set(SCOUT, "copied", context.value)

    state.set(SCOUT, "once", 5)
    assert state.get(SCOUT, "copied") == 5
    with pytest.raises(errors.LimitExceeded) as caught:
        state.set(SCOUT, "down/0", 1)
    assert (caught.value.code, depths) == ("hook.depth", list(range(8)))
    # The depth is counted down again.
    with pytest.raises(errors.LimitExceeded):
        state.set(SCOUT, "down/0", 1)
    assert len(depths) == 16


def test_a_hook_may_unregister_itself_and_register_another(state: StateManager) -> None:
    seen = list[str]()

    @state.hooks.before("set")
    def once(context: HookContext) -> None:
        seen.append("once")
        state.hooks.unregister("once")
        state.hooks.before("set", name="next")(lambda context: seen.append("next"))

    for _ in range(3):
        state.set(SCOUT, "a", 1)
    assert seen == ["once", "next", "next"]
    assert "once" not in state.hooks and len(state.hooks) == 1


def test_a_result_is_checked_however_it_is_made(state: StateManager) -> None:
    # A token in a reason came out where the class was called, and what is no time was given to the caller.
    token = "sk-" + "a1" * 12
    state.hooks.before("set", key="no", name="no")(lambda context: HookResult("cancel", reason=f"not {token}"))
    with pytest.raises(errors.HookVeto) as vetoed:
        state.set(SCOUT, "no", 1)
    assert token not in str(vetoed.value) and vetoed.value.reason == "not [redacted]"
    state.hooks.before("set", key="late", name="late")(lambda context: HookResult.retry(float("nan")))
    with pytest.raises(errors.HookVeto) as failed:
        state.set(SCOUT, "late", 1)
    assert (failed.value.code, failed.value.retry_after_s) == ("hook.failed", None)
    for wrong in (-1, float("inf"), 2e9, 10**400, "soon", None):
        with pytest.raises(ValueError, match="after_s"):
            HookResult.retry(wrong)  # type: ignore[arg-type]
    for right in (0, 1e9):
        assert HookResult.retry(right).after_s == right
    with pytest.raises(TypeError):
        HookResult.cancel(5)  # type: ignore[arg-type]
