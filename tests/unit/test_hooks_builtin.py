"""The hooks that come along, each registered with a store."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope, errors
from spellkeep.hooks import builtin
from spellkeep.hooks.builtin.audit import AUDIT, Audit
from spellkeep.hooks.builtin.cost import Price
from spellkeep.hooks.builtin.security import SecurityRule

SCOUT, GLOBAL = StateScope.agent("scout"), StateScope.GLOBAL
CANARY = "sk-proj-canary0123456789abcdef"


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def drained(state: StateManager) -> None:
    assert state.hooks.drain(60)
    assert [stats.failed_count for stats in state.hooks.stats()] == [0] * len(state.hooks)


def test_every_name_of_the_room_is_a_hook() -> None:
    for name in builtin.__all__:
        assert isinstance(getattr(builtin, name), type)
    with pytest.raises(AttributeError):
        _ = builtin.Nothing


def test_logging_says_what_changed_and_no_secret(state: StateManager, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        state.hooks.register(builtin.Logging(), name="plain")
        state.hooks.register(builtin.Logging(show_value=True, level=logging.WARNING), name="values")
        with sk.correlate("req-1"):
            version = state.set(SCOUT, "a", {"password": "hunter2", "note": CANARY, "n": 5})
        state.clear_scope(SCOUT)
        drained(state)
    said = [record.getMessage() for record in caplog.records]
    assert f"set agent:scout 'a' correlation=req-1 version={version}" in said
    assert any("'n': 5" in line and "[redacted]" in line for line in said)
    assert any(line.startswith("clear agent:scout version=") for line in said)
    assert "hunter2" not in caplog.text and CANARY not in caplog.text


def test_metrics_count_and_are_what_prometheus_reads(state: StateManager) -> None:
    # A delivery takes three seconds, and up to seven more of a machine that is busy.
    metrics = builtin.Metrics(now_s=lambda: time.time() + 3)
    state.hooks.register(metrics, name="metrics")
    for _ in range(3):
        state.set(SCOUT, "a", 1)
    state.delete(SCOUT, "a")
    drained(state)
    assert metrics.counts == {("set", "agent"): 3, ("delete", "agent"): 1}
    assert metrics.quantile_s(0.5) in (5.0, 10.0) and builtin.Metrics().quantile_s(0.5) == 0
    text = metrics.text(state.hooks.stats())
    assert 'spellkeep_changes_total{operation="set",scope_kind="agent"} 3\n' in text
    assert 'spellkeep_delivery_seconds_bucket{le="0.1"} 0\n' in text
    assert 'spellkeep_delivery_seconds_bucket{le="+Inf"} 4\n' in text
    assert 'spellkeep_hook_executions_total{hook="metrics",result="proceeded"} 4\n' in text
    for line in text.splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0


def test_validation_by_schema_and_size(state: StateManager) -> None:
    schema = {"type": "object", "properties": {"step": {"type": "integer"}}, "required": ["step"]}
    state.hooks.register(builtin.Validation(schema), key="plan/*", name="schema")
    state.hooks.register(builtin.Validation(bytes_max=100), name="size")
    state.set(SCOUT, "plan/a", {"step": 1})
    for wrong, reason in (({}, "$ breaks 'required'"), ({"step": CANARY}, "$['step'] breaks 'type'")):
        with pytest.raises(errors.HookVeto) as caught:
            state.set(SCOUT, "plan/a", wrong)
        assert caught.value.reason is not None and caught.value.reason.startswith(reason)
        assert CANARY not in str(caught.value)
    state.set(SCOUT, "other", {})
    with pytest.raises(errors.HookVeto, match="at most 100"):
        state.set(SCOUT, "other", "x" * 100)


def test_the_audit_trail_shows_what_was_taken_out_of_it(state: StateManager) -> None:
    state.hooks.register(Audit(), name="audit")
    with sk.correlate("req-1", actor="anna"):
        versions = [state.set(SCOUT, "a", CANARY), state.delete(SCOUT, "a"), state.events.emit("done")]
    drained(state)
    trail = [entry for _, entry in state.items(AUDIT)]
    assert [(entry["operation"], entry["actor"], entry["correlation"]) for entry in trail] == [
        (operation, "anna", "req-1") for operation in ("set", "delete", "event")
    ]
    assert CANARY not in str(trail) and Audit.verify(state) == []
    # It is delivered again, as after a crash.
    again = Audit()
    again.restore(state, "audit")
    for change in state.changes():
        if change.version in versions:
            again.decide(change)
    assert list(again.keep()) == [] and Audit.verify(state) == []
    state.delete(AUDIT, f"{versions[1]:020d}")
    assert Audit.verify(state) == [versions[2]]


def test_caches_are_told_what_is_stale(state: StateManager) -> None:
    told = list[Any]()
    state.hooks.register(
        builtin.CacheInvalidation(
            {"plan/*": lambda scope, key: told.append((scope, key)), "?": lambda s, k: told.append(k)}
        )
    )
    state.set(SCOUT, "plan/a", 1)
    state.set(SCOUT, "x", 1)
    state.set(SCOUT, "other", 1)
    state.clear_scope(SCOUT)
    drained(state)
    assert told == [(SCOUT, "plan/a"), "x", (SCOUT, None), None]


def test_a_rate_is_kept_for_each_scope_and_the_rest_is_told_when(state: StateManager) -> None:
    now = 0.0
    state.hooks.register(builtin.RateLimit(2.0, burst=3, now_s=lambda: now), name="limit")
    for _ in range(3):
        state.set(SCOUT, "a", 1)
    with pytest.raises(errors.HookVeto) as caught:
        state.set(SCOUT, "a", 1)
    assert (caught.value.code, caught.value.retry_after_s) == ("hook.retry", 0.5)
    state.set(GLOBAL, "a", 1)
    now = 0.5
    state.set(SCOUT, "a", 1)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "a", 1)
    now = 100.0
    for _ in range(3):
        state.set(SCOUT, "a", 1)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "a", 1)


def test_buckets_have_a_bound() -> None:
    limit = builtin.RateLimit(1, by=lambda context: context, buckets_max=10, now_s=lambda: 0.0)
    for number in range(100):
        assert limit._taken(number)[0] == 1
    assert len(limit._buckets) == 10
    for wrong in ({"per_s": 0}, {"per_s": 1, "burst": 0.5}, {"per_s": 1, "buckets_max": 0}):
        with pytest.raises(errors.LimitExceeded):
            builtin.RateLimit(**wrong)  # type: ignore[arg-type]


def test_secrets_are_hidden_before_they_are_stored_and_all_else_keeps_its_class(state: StateManager) -> None:
    state.hooks.register(builtin.Security(), name="security")
    value = {"password": "x", 5: (1, {2}, f"key {CANARY}"), "tokens": [1, b"x"], "max_tokens": 5}
    state.set(SCOUT, "a", value)
    assert state.get(SCOUT, "a") == {
        "password": "[redacted]",
        5: (1, {2}, "key [redacted]"),
        "tokens": [1, b"x"],
        "max_tokens": 5,
    }
    state.set(SCOUT, "b", {"n": [1, (2,)]})
    (stats,) = state.hooks.stats()
    assert (stats.modified_count, stats.proceeded_count) == (1, 1)
    assert not any(CANARY.encode() in repr(change.value).encode() for change in state.changes())


def test_a_rule_may_refuse(state: StateManager) -> None:
    rules = (SecurityRule(name="no ids", fields=("ssn",), patterns=(r"\b\d{3}-\d{2}-\d{4}\b",), action="block"),)
    state.hooks.register(builtin.Security(rules))
    for wrong in ({"ssn": 1}, ["123-45-6789"]):
        with pytest.raises(errors.HookVeto, match="no ids"):
            state.set(SCOUT, "a", wrong)
    state.set(SCOUT, "a", {"n": "123"})


def test_the_cache_keeps_what_was_delivered_for_its_time(state: StateManager) -> None:
    now = 0.0
    cache = builtin.Caching(2, 10.0, now_s=lambda: now)
    state.hooks.register(cache)
    for key in "abc":
        state.set(SCOUT, key, key)
    state.delete(SCOUT, "c")
    drained(state)
    assert [cache.get(SCOUT, key) for key in "abc"] == [None, "b", None]
    assert (cache.hit_count, cache.miss_count, len(cache)) == (1, 2, 1)
    now = 11.0
    assert cache.get(SCOUT, "b", "gone") == "gone"
    state.set(SCOUT, "d", 1)
    state.clear_scope(SCOUT)
    drained(state)
    assert len(cache) == 0


def test_costs_are_added_once_and_budgets_alert_once(state: StateManager) -> None:
    alerts = list[Any]()
    costs = builtin.CostTracking(
        {("acme", "big"): Price(Decimal(3), Decimal(15))},
        budgets={"acme": Decimal("0.01")},
        alert=lambda *what: alerts.append(what),
    )
    state.hooks.register(costs, name="costs")
    usage = {"provider": "acme", "model": "big", "input_tokens": 1000, "output_tokens": 200}
    for _ in range(3):
        state.events.emit("model.called", usage)
    state.events.emit("model.called", usage | {"model": "new"})
    state.set(SCOUT, "a", "no usage")
    drained(state)
    assert costs.by_model["acme", "big"].money == Decimal("0.018")
    assert (costs.by_provider["acme"].calls_count, costs.by_provider["acme"].input_tokens) == (4, 4000)
    assert costs.unpriced == {("acme", "new")}
    assert costs.left("acme") == Decimal("-0.008") and costs.left("other") is None
    # 60 %, then 120 %: 80 % and all of it at once.
    assert alerts == [("acme", Decimal("0.012"), Decimal("0.01"))] * 2
    for change in state.changes():
        if change.operation == "event":
            costs.decide(change)
    assert costs.by_provider["acme"].calls_count == 4


def test_what_fails_now_and_then_is_tried_again_and_what_never_works_is_kept(state: StateManager) -> None:
    calls = list[int]()

    def send(change: Change) -> None:
        calls.append(change.value)
        if change.value == 1 or calls.count(change.value) < 2:
            raise OSError

    retry = builtin.Retry(send, attempts_max=3, backoff_s=0.001)
    state.hooks.register(retry)
    for number in range(3):
        state.set(SCOUT, "a", number)
    drained(state)
    assert calls == [0, 0, 1, 1, 1, 2, 2]
    assert [change.value for change in retry.given_up] == [1]
    (stats,) = state.hooks.stats()
    assert (stats.retry_count, stats.skipped_count, stats.given_up_count) == (4, 1, 0)


def test_the_last_operations_are_kept_also_refused_ones_and_without_secrets(state: StateManager) -> None:
    traces = builtin.Debugging(3, values=True)
    state.hooks.register(traces, name="debug", priority=-1)
    state.hooks.register(builtin.Validation(bytes_max=100), name="size")
    state.set(SCOUT, "a", {"password": "hunter2"})
    state.set(SCOUT, "a", 2)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "b", "x" * 200)
    state.delete(SCOUT, "a")
    kept = traces.traces()
    assert [(each.number, each.operation, each.key) for each in kept] == [
        (2, "set", "a"),
        (3, "set", "b"),
        (4, "delete", "a"),
    ]
    assert (kept[0].value, kept[0].old_value) == (2, {"password": "[redacted]"})
    assert traces.traces(key="b") == kept[1:2] and traces.traces(scope="global") == []
