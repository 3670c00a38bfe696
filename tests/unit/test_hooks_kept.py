"""What hooks know beyond a position is kept with it: sums and trails go on exactly, whenever a process ends."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.hooks.builtin import Audit, CostTracking
from spellkeep.hooks.builtin.audit import AUDIT
from spellkeep.hooks.builtin.cost import Price, Spent

USAGE = {"provider": "acme", "model": "big", "input_tokens": 1000, "output_tokens": 100}
PRICES = {("acme", "big"): Price(Decimal(3), Decimal(15))}


def spend(state: StateManager, count: int) -> None:
    for _ in range(count):
        state.events.emit("model.called", USAGE)


@pytest.mark.parametrize("history", [True, False])
def test_sums_go_on_in_the_next_process_and_alerts_come_once(tmp_path: Path, history: bool) -> None:
    alerts = list[Any]()
    for number in range(1, 4):
        costs = CostTracking(PRICES, budgets={"acme": Decimal("0.1")}, alert=lambda *what: alerts.append(what))
        with sk.open(tmp_path / "s") as state:
            state.hooks.register(costs, name="costs", history=history)
            assert costs.by_provider.get("acme", Spent()).calls_count == (number - 1) * 11
            spend(state, 10)
            state.events.emit("model.called", USAGE | {"model": "new"})
            assert state.hooks.drain(60)
            assert costs.by_model["acme", "big"] == Spent(
                number * 10, number * 10_000, number * 1000, number * Decimal("0.045")
            )
            assert costs.by_model["acme", "new"] == Spent(number, number * 1000, number * 100, Decimal())
            assert costs.left("acme") == Decimal("0.1") - number * Decimal("0.045")
            assert costs.unpriced == {("acme", "new")}
            with pytest.raises(errors.Conflict):
                state.hooks.forget("costs")
    # 80 % with the second process, all of it with the third.
    assert [round(money / budget, 2) >= part for (_, money, budget), part in zip(alerts, (0.8, 1), strict=True)] == [
        True
    ] * 2
    with sk.open(tmp_path / "s") as state:
        state.hooks.forget("costs")
        fresh = CostTracking(PRICES)
        state.hooks.register(fresh, name="costs")
        assert fresh.by_model == {}


WRITER = """
    import sys, time, spellkeep as sk
    from decimal import Decimal
    from spellkeep.hooks.builtin import Audit, CostTracking
    from spellkeep.hooks.builtin.cost import Price
    state = sk.open(sys.argv[1], keep_log_bytes=None)
    state.hooks.register(CostTracking({("acme", "big"): Price(Decimal(3), Decimal(15))}), name="costs", since=0)
    state.hooks.register(Audit(), name="audit", since=0)
    state.events.emit("model.called", {
        "provider": "acme", "model": "big", "input_tokens": 1000, "output_tokens": 100})
    assert state.hooks.drain(60)
    print("ready", flush=True)
    while True:
        for _ in range(7):
            state.events.emit("model.called", {
                "provider": "acme", "model": "big", "input_tokens": 1000, "output_tokens": 100})
        time.sleep(0.001)
"""


def test_nothing_is_counted_twice_or_left_out_whenever_the_process_is_killed(tmp_path: Path) -> None:
    draw, kills_count = random.Random(7), 12
    for _ in range(kills_count):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(draw.uniform(0.01, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with sk.open(tmp_path / "s", keep_log_bytes=None) as state:
        costs, audit = CostTracking(PRICES), Audit()
        state.hooks.register(costs, name="costs")
        state.hooks.register(audit, name="audit")
        # What the kills left undelivered, too.
        kept = costs.by_model.get(("acme", "big"), Spent()).calls_count
        assert state.hooks.drain(60)
        emitted = [change.version for change in state.changes() if change.operation == "event"]
        assert costs.by_model["acme", "big"].calls_count == len(emitted) >= kept > 0
        assert costs.by_provider["acme"].money == len(emitted) * Decimal("0.0045")
        assert [int(key) for key in state.list_keys(AUDIT)] == emitted
        assert Audit.verify(state) == []


def test_what_cannot_be_written_is_kept_later_and_no_more_is_taken_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sk.open(tmp_path / "s") as state:
        audit, others = Audit(), list[int]()
        state.hooks.register(audit, name="audit")
        state.hooks.after("event", name="other")(lambda change: others.append(change.version))
        spend(state, 5)
        assert state.hooks.drain(60)

        def full(*_: object, **how: object) -> int:
            raise errors.StorageFailed("the disk is full", code="storage.full")

        real = sk.Batch.commit
        monkeypatch.setattr("spellkeep.hooks.consumer.Batch.commit", full)
        spend(state, 20)
        until = time.monotonic() + 60
        while len(others) < 25 and time.monotonic() < until:
            time.sleep(0.01)
        for _ in range(20):
            spend(state, 1)
            time.sleep(0.005)
        # The other one keeps nothing and goes on; of this one no more than a round is in memory.
        assert len(others) >= 25 and len(audit._entries) <= 25
        assert not state.hooks.drain(0.1)
        monkeypatch.setattr("spellkeep.hooks.consumer.Batch.commit", real)
        assert state.hooks.drain(60)
        emitted = [change.version for change in state.changes() if change.operation == "event"]
        assert [int(key) for key in state.list_keys(AUDIT)] == emitted and Audit.verify(state) == []
        assert audit._entries == {}


def test_the_trail_goes_on_in_the_next_process(tmp_path: Path) -> None:
    for number in range(1, 4):
        with sk.open(tmp_path / "s") as state:
            state.hooks.register(Audit(), name="audit")
            state.set(StateScope.GLOBAL, "a", number)
            assert state.hooks.drain(60)
            assert len(state.list_keys(AUDIT)) == number and Audit.verify(state) == []
    with sk.open(tmp_path / "s") as state:
        state.delete(AUDIT, state.list_keys(AUDIT)[1])
        assert len(Audit.verify(state)) == 1
