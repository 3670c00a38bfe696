"""What is kept of executions: complete, compressed, let go by age and number, and without secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope, errors
from spellkeep.hooks import HistoryRetention, HookResult, Observer
from spellkeep.hooks.keeping import HistoryKeeper, pack, unpack
from spellkeep.hooks.log import HookLog
from spellkeep.value import encode

SCOUT = StateScope.agent("scout")
HOOKS = StateScope.custom("spellkeep.hooks")
CANARY = "canary-4d1e5ab2"


class Quiet(Observer):
    points = ("after_set",)

    def decide(self, context: object) -> None:
        pass


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def written(state: StateManager, name: str, chunks: int, rows: int) -> HookLog:
    """A history that so many rounds left."""
    log = HookLog(state, name)
    for chunk in range(chunks):
        with state.batch() as batch:
            log.add(batch, [(chunk * rows + row + 1, 5, 0, 1 << 63) for row in range(rows)], {0: "OSError"})
        log.written()
    return log


def test_old_chunks_are_compressed_and_read_as_they_were(state: StateManager) -> None:
    log = written(state, "tell", 100, 50)
    before = state.hooks.history("tell", limit=10**9)
    keeper = HistoryKeeper("tell", log)
    assert keeper.due
    keeper.turn(state, HistoryRetention(keep_count=None, keep_days=None))
    assert not keeper.due
    chunks = [chunk for _, chunk in state.items(HOOKS, "history/tell/")]
    assert ["lz4" in chunk for chunk in chunks] == [True] * 92 + [False] * 8
    assert len(encode(chunks[0])) < len(encode(chunks[-1])) / 2
    assert state.hooks.history("tell", limit=10**9) == before and len(before) == 5000
    assert (before[0].version, before[0].digest, before[49].error) == (5000, 1 << 63, "OSError")
    assert unpack(pack(chunks[0])) == unpack(chunks[0])


def test_the_oldest_go_beyond_the_number_that_is_kept_and_the_last_ones_never(state: StateManager) -> None:
    log = written(state, "tell", 100, 10)
    keeper = HistoryKeeper("tell", log)
    keeper.turn(state, HistoryRetention(keep_count=205, keep_days=None))
    # Those that are fresh do not count yet.
    assert len(state.hooks.history("tell", limit=10**9)) == 200 + 80
    keeper.turn(state, HistoryRetention(keep_count=0, keep_days=None))
    rows = state.hooks.history("tell", limit=10**9)
    assert {row.chunk for row in rows} == set(range(92, 100))
    # Numbers go on where they were.
    assert HookLog(state, "tell").next_chunk == 100


def test_what_is_too_old_goes(state: StateManager) -> None:
    log = written(state, "tell", 80, 1)
    keeper = HistoryKeeper("tell", log)
    now_us = time.time_ns() // 1000
    keeper.turn(state, HistoryRetention(keep_days=1), now_us + int(0.9 * 86_400e6))
    assert len(state.hooks.history("tell")) == 80
    keeper.turn(state, HistoryRetention(keep_days=1), now_us + int(1.1 * 86_400e6))
    assert len(state.hooks.history("tell")) == 8


def test_the_consumer_looks_after_it(state: StateManager) -> None:
    state.hooks.retention(keep_count=50)
    state.hooks.after("set", name="tell")(lambda change: None)
    for number in range(200):
        state.set(SCOUT, "a", number)
        assert state.hooks.drain(60)
    until = time.monotonic() + 60
    while len(state.hooks.history("tell", limit=10**9)) >= 200 and time.monotonic() < until:
        state.set(SCOUT, "a", 0)
        assert state.hooks.drain(60)
    rows = state.hooks.history("tell", limit=10**9)
    assert 50 <= len(rows) < 200
    assert rows[0].version > rows[-1].version


def test_a_part_of_it_is_asked_for(state: StateManager) -> None:
    begun = datetime.now(UTC) - timedelta(seconds=1)
    for name in ("one", "two"):
        state.hooks.after("set", name=name)(lambda change: None)
    with sk.correlate("req-1"):
        version = state.set(SCOUT, "a", 1)
    state.set(SCOUT, "b", 2)
    assert state.hooks.drain(60)
    history = state.hooks.history
    assert len(history()) == 4 and len(history("one")) == 2
    part = history(correlation="req-1")
    assert sorted((row.hook, row.version) for row in part) == [("one", version), ("two", version)]
    assert history(since=datetime.now(UTC) + timedelta(seconds=1)) == history(until=begun) == []
    assert len(history(since=begun, limit=3)) == 3
    assert history(result="failed") == []


def test_what_a_hook_let_pass_is_told_also_where_nothing_came_of_it(state: StateManager) -> None:
    state.hooks.before("set", "delete", name="first", key="plan*")(lambda context: None)

    @state.hooks.before("set", key="plan-2", name="second", priority=1)
    def second(context: Any) -> HookResult:
        return HookResult.cancel("no")

    version = state.set(SCOUT, "plan", 1)
    with pytest.raises(errors.HookVeto):
        state.set(SCOUT, "plan-2", 1)
    with pytest.raises(errors.Conflict):
        state.set(SCOUT, "plan", 2, if_version=0)
    with pytest.raises(errors.HookVeto), state.batch() as batch:
        batch.set(SCOUT, "plan", 3)
        batch.set(SCOUT, "plan-2", 3)
    assert state.delete(SCOUT, "plan-9") == 0
    assert state.hooks.drain(60)
    told = [(each.version, each.result) for each in reversed(state.hooks.history("first"))]
    assert told == [(version, "proceeded"), *[(0, "proceeded")] * 5]
    assert [each.result for each in state.hooks.history("second")] == ["cancelled"] * 2


def test_no_secret_is_in_what_is_written_about_hooks(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:

        @state.hooks.after("delete", attempts_max=1)
        def broken(change: Change) -> None:
            raise OSError(f"could not send {CANARY}")

        @state.hooks.before("set", name="failing")
        def failing(context: object) -> None:
            raise ValueError(CANARY)

        for value in ({"password": CANARY}, {"a": [{"api_key": {"deep": CANARY}}]}, {"token": CANARY}):
            with pytest.raises(errors.HookVeto) as caught:
                state.set(SCOUT, "a", value)
            assert CANARY not in str(caught.value)
        state.hooks.disable("failing")
        state.set(SCOUT, "b", 1)
        state.delete(SCOUT, "b")
        assert state.hooks.drain(60)
        shown = [*state.hooks.history(limit=10**9), *state.hooks.stats(), *state.hooks.kept(), *state.items(HOOKS)]
        assert len(state.hooks.history("failing")) == 3
        assert CANARY not in repr(shown)
    for path in (tmp_path / "s").rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_options_of_the_retention_are_checked() -> None:
    wrongs: list[dict[str, Any]] = [{"keep_count": -1}, {"keep_count": 10**12 + 1}]
    for wrong in (*wrongs, *({name: days} for name in ("keep_days", "keep_important_days") for days in (-1, 36_526))):
        with pytest.raises(errors.LimitExceeded) as caught:
            HistoryRetention(**wrong)
        assert caught.value.code == "hook.option"
    HistoryRetention(keep_count=10**12, keep_days=36_525, keep_important_days=36_525)


def test_the_retention_is_kept_in_the_store_and_holds_in_the_next_process(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s") as state:
        assert state.hooks.retention() == HistoryRetention()
        assert state.hooks.retention(keep_count=50) == HistoryRetention(keep_count=50)
        changed = HistoryRetention(keep_count=50, keep_days=None)
        assert state.hooks.retention(keep_days=None) == state.hooks.retention() == changed
        before = state.last_version
        state.hooks.retention()
        with pytest.raises(errors.LimitExceeded):
            state.hooks.retention(keep_important_days=-1)
        assert state.last_version == before
    with sk.open(tmp_path / "s", read_only=True) as state:
        assert state.hooks.retention() == changed
        with pytest.raises(errors.ReadOnly):
            state.hooks.retention(keep_count=1)
    with sk.open(tmp_path / "s") as state:
        written(state, "tell", 100, 10)
        state.hooks.after("set", name="tell")(lambda change: None)
        end = time.monotonic() + 60
        while len(state.hooks.history("tell", limit=10**6)) > 50 + 8 * 10:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_forgetting_counts_executions_and_decodes_none(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(state, "tell", 100, 10)
    HistoryKeeper("tell", log).turn(state, HistoryRetention())

    def never(*args: object) -> None:
        raise AssertionError

    monkeypatch.setattr("spellkeep.hooks.reading.executions", never)
    assert state.hooks.forget("tell") == 1000
    assert list(state.items(HOOKS)) == []
    with pytest.raises(errors.KeyMissing):
        state.hooks.forget("tell")
    state.hooks.disable(state.hooks.register(Quiet()))
    state.hooks.unregister("Quiet")
    assert state.hooks.forget("Quiet") == 0


def test_what_is_over_goes_also_of_a_hook_that_is_quiet(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(state, "tell", 20, 1)
    keeper = HistoryKeeper("tell", log)
    assert not keeper.due
    now_s = time.monotonic()
    monkeypatch.setattr("spellkeep.hooks.keeping.time.monotonic", lambda: now_s + 3601)
    assert keeper.due
    keeper.turn(state, HistoryRetention(keep_count=0))
    assert not keeper.due
    assert len(state.hooks.history("tell")) == 8


def test_a_turn_that_fails_is_done_anew(state: StateManager, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(state, "tell", 100, 10)
    keeper = HistoryKeeper("tell", log)

    def refused() -> None:
        raise errors.StorageFailed("full", code="storage.full")

    with monkeypatch.context() as patched:
        patched.setattr(state, "batch", refused)
        with pytest.raises(errors.StorageFailed):
            keeper.turn(state, HistoryRetention(keep_count=205))
    keeper.turn(state, HistoryRetention(keep_count=205))
    assert len(state.hooks.history("tell", limit=10**6)) == 200 + 80


def test_more_than_one_value_holds_is_kept_in_several() -> None:
    # It was never written, with it no position, and `drain` said False for ever.
    with sk.open("memory:", limits=sk.Limits(value_bytes_max=1000)) as state:

        @state.hooks.after("set", name="odd", attempts_max=1)
        def odd(change: Change) -> None:
            if change.value % 7 == 3:
                raise ValueError

        state.hooks.before("set", name="much")(lambda context: context.recorded(lambda: "x" * 900) and None)
        with state.batch() as batch:
            for number in range(300):
                batch.set(SCOUT, f"k{number}", number)
        assert state.hooks.drain(60)
        found = state.hooks.history("odd", limit=1000)[::-1]
        assert [each.error for each in found] == ["ValueError" if row % 7 == 3 else None for row in range(300)]
        assert [each.version for each in found] == sorted({each.version for each in found})
        assert len({each.chunk for each in found}) > 5
        # What one execution recorded does not fit: the rest of it does.
        much = state.hooks.history("much", limit=1000)
        assert (len(much), {each.recorded for each in much}) == (300, {()})
    seen = list[Change]()
    with sk.open("memory:") as state:
        state.hooks.after("set", name="good")(seen.append)
        state.hooks.before("set", name="much")(lambda context: context.recorded(lambda: b"x" * 4000) and None)
        with state.batch() as batch:
            for number in range(10_000):
                batch.set(SCOUT, f"k{number}", number)
        assert state.hooks.drain(60) and len(seen) == 10_000
        assert [len(each.recorded[0]) for each in state.hooks.history("much", limit=20_000) if each.recorded] == [
            4000
        ] * 10_000


def test_what_no_history_has_is_refused(state: StateManager) -> None:
    with pytest.raises(ValueError, match="one of proceeded"):
        state.hooks.history(result="fine")
    with pytest.raises(errors.LimitExceeded, match="at least 0"):
        state.hooks.history(limit=-1)
    with pytest.raises(TypeError, match="whole number"):
        state.hooks.retention(keep_count=1.5)  # type: ignore[arg-type]
    assert state.hooks.history(limit=0) == []
