"""Stores of every format version that was ever written are read by this build."""

import datetime as dt
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import StateClass, StateScope

from .make import ANNAS, CLEARED, LARGE, LONG_LIST, SCOPES, SCOUT, SEALED, SEALING_KEY, Colour, values

FOLDERS = sorted(pathlib.Path(__file__).parent.glob("v[0-9]*"))
# The versions that each log has; after 34 of v2 comes what a power loss may have taken.
VERSIONS = {
    "v1": [*range(1, 34)],
    "v2": [*range(3, 35), *range(102_084, 102_092)],
    "v3": [*range(3, 35), *range(102_084, 102_101)],
    "v4": [*range(3, 37), *range(102_086, 102_104)],
    "v5": [*range(3, 37), *range(102_086, 102_104)],
}

EXPIRES_AT = dt.datetime(2126, 11, 23, 20, 2, 1, 563854, dt.UTC)
FROM_ANNA = ("req-42", "anna", ("billing", "größe"))


def opened(folder: pathlib.Path, tmp_path: pathlib.Path, **options: Any) -> sk.StateManager:
    sk.register(Colour, tag="golden.colour")
    copy = shutil.copytree(folder, tmp_path / "store")
    return sk.open(copy, ring_bytes=65536, segment_bytes=65536, **options)


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> pathlib.Path:
    path: pathlib.Path = request.param
    return path


@pytest.fixture
def state(folder: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[sk.StateManager]:
    with opened(folder, tmp_path) as state:
        yield state


@pytest.fixture
def second(tmp_path: pathlib.Path) -> Iterator[sk.StateManager]:
    with opened(FOLDERS[1], tmp_path) as state:
        yield state


@pytest.fixture
def third(tmp_path: pathlib.Path) -> Iterator[sk.StateManager]:
    with opened(FOLDERS[2], tmp_path) as state:
        yield state


def read_as_written(state: sk.StateManager) -> None:
    for name, value in values().items():
        got = state.get(SCOUT, name)
        if name == "arrays":
            for mine, theirs in zip(value, got, strict=True):
                assert mine.dtype == theirs.dtype
                assert np.array_equal(mine, theirs)
        else:
            assert (repr(got), type(got)) == (repr(value), type(value)), name


def test_there_is_a_golden_store_of_every_version() -> None:
    assert [folder.name for folder in FOLDERS] == ["v1", "v2", "v3", "v4", "v5"]


def test_nothing_is_wrong_with_a_golden_store(folder: pathlib.Path) -> None:
    report = sk.verify(folder)
    assert report.damages == ()
    assert report.record_count == len(VERSIONS[folder.name])
    assert report.last_version == VERSIONS[folder.name][-1]


def test_every_value_of_a_golden_store_reads_as_it_was_written(folder: pathlib.Path, state: sk.StateManager) -> None:
    read_as_written(state)
    large = {"v1": "x" * 70_000}.get(folder.name, LARGE)
    assert state.get(SCOUT, "larger than the ring") == large


def test_every_value_of_a_golden_store_is_found_on_disk(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with opened(folder, tmp_path, memory_budget_bytes=0) as state:
        assert state.stats().resident_bytes < len(LARGE)
        read_as_written(state)


def test_one_item_of_a_large_value_is_found(state: sk.StateManager) -> None:
    assert state.view(SCOUT, "long list")[57]["content"] == "message 57"
    assert state.view(SCOUT, "long dict")["field 57"] == 57
    assert state.view(SCOUT, "long list").to_python() == LONG_LIST


def test_every_record_of_a_golden_store_has_its_effect(state: sk.StateManager) -> None:
    assert state.get(SCOUT, "twice") == 2
    assert not state.exists(SCOUT, "deleted")
    assert state.list_keys(CLEARED) == ["set after the clear"]
    assert state.get(SCOUT, "last") == "done"
    assert state.entry(SCOUT, "trusted").state_class is StateClass.TRUSTED
    live = {scope for scope in SCOPES if state.get(scope, "here") == str(scope)}
    assert live == set(SCOPES) - {StateScope.tool("search")}


def test_the_history_of_a_golden_store_is_whole(folder: pathlib.Path, state: sk.StateManager) -> None:
    assert [change.operation for change in state.history(SCOUT, "deleted")] == ["delete", "set"]
    assert [change.value for change in state.history(SCOUT, "twice")] == [2, 1]
    assert [change.version for change in state.changes()] == VERSIONS[folder.name]


def test_a_golden_store_can_be_written_to(state: sk.StateManager) -> None:
    version = state.set(SCOUT, "twice", 3)
    state.flush()
    assert state.history(SCOUT, "twice")[0].version == version
    assert state.get(SCOUT, "twice") == 3


def test_a_golden_store_can_be_checkpointed(state: sk.StateManager) -> None:
    assert state.checkpoint() == state.last_version
    assert state.verify().damages == ()


def test_what_expires_in_a_golden_store_does_so_when_it_said(second: sk.StateManager) -> None:
    entry = second.entry(SCOUT, "expires")
    assert entry.value == "in 2126, too"
    assert entry.expires_at == EXPIRES_AT
    assert [change.value for change in second.history(SCOUT, "expires")] == ["in 2126, too", "in 2126"]


def test_what_was_durable_when_the_power_went_is_there(second: sk.StateManager) -> None:
    assert second.entry(SCOUT, "before the power went").version == 34


def test_what_had_expired_in_a_golden_store_stays_so(second: sk.StateManager) -> None:
    for key in ("expired", "expired later"):
        assert not second.exists(SCOUT, key)
        assert [change.operation for change in second.history(SCOUT, key)] == ["expire", "set"]


def test_the_snapshot_of_a_golden_store_has_what_its_log_let_go(second: sk.StateManager) -> None:
    assert second.recovery.snapshot_damage == []
    assert 0 < second.recovery.snapshot_version < second.last_version
    entry = second.entry(SCOUT, "older than the log")
    assert entry.value == {"kept": "by the snapshot alone"}
    assert entry.version == 2
    with pytest.raises(sk.errors.LimitExceeded, match=r"begins with version 3") as refused:
        list(second.changes(since=1))
    assert refused.value.code == "log.trimmed"


def test_every_record_of_a_golden_store_says_where_it_comes_from(third: sk.StateManager) -> None:
    told = [
        (change.operation, change.key, change.cause)
        for change in third.changes()
        if (change.correlation, change.actor, change.tags) == FROM_ANNA
    ]
    assert told == [
        ("set", "from somewhere", 2**63),
        ("set", "from somewhere", 2**63),
        ("set", "deleted", 2**63),
        ("delete", "deleted", 2**63),
        ("set", "cleared", 2**63),
        ("clear", None, 2**63),
        ("event", "tool.called", 2**63),
        ("set", "caused", 102_097),
    ]
    assert [change.actor for change in third.history(SCOUT, "from somewhere")] == ["anna", "anna"]
    assert third.entry(SCOUT, "from somewhere").expires_at is not None
    assert third.list_keys(ANNAS) == []
    third.checkpoint()
    assert [change.actor for change in third.history(SCOUT, "from somewhere")] == ["anna", "anna"]


def test_the_events_of_a_golden_store_are_in_its_feed(third: sk.StateManager) -> None:
    events = [change for change in third.changes() if change.operation == "event"]
    assert [(event.version, event.scope, event.key) for event in events] == [
        (102_097, SCOUT, "tool.called"),
        (102_099, SCOUT, "from somewhere"),
    ]
    assert [(event.value, event.correlation) for event in events] == [({"tool": "search"}, "req-42"), (None, None)]


@pytest.mark.parametrize("budget", [None, 0])
def test_the_sealed_values_of_a_golden_store_are_opened_by_their_key(
    tmp_path: pathlib.Path, budget: int | None
) -> None:
    with opened(FOLDERS[3], tmp_path, sealing_keys=[SEALING_KEY], memory_budget_bytes=budget) as state:
        assert state.recovery.snapshot_damage == []
        for scope in (SCOUT, ANNAS):
            entry = state.entry(scope, "sealed")
            assert (entry.value, entry.state_class) == (SEALED, StateClass.SENSITIVE)
            assert state.history(scope, "sealed")[0].value == SEALED
        assert state.entry(SCOUT, "external").state_class is StateClass.EXTERNAL


@pytest.mark.parametrize("folder", FOLDERS[1:4], ids=lambda folder: folder.name)
def test_a_former_snapshot_is_taken_over_once(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with opened(folder, tmp_path) as state:
        read_as_written(state)
        assert not state.recovery.snapshot_damage
    snapshots = tmp_path / "store" / "snapshots"
    assert [path.name for path in snapshots.iterdir()] == ["a.rows"]
    with sk.open(tmp_path / "store") as state:
        read_as_written(state)


def test_every_harm_to_a_former_snapshot_is_told_or_harmless(tmp_path: pathlib.Path) -> None:
    """redb panics over some pages that were altered, and once more when it lets go of them: that ends a process."""
    sk.register(Colour, tag="golden.colour")
    good = (FOLDERS[3] / "snapshots" / "a.redb").read_bytes()
    told = 0
    for at in [*range(0, 4096, 37), *range(4096, len(good), 997)]:
        copy = shutil.copytree(FOLDERS[3], tmp_path / str(at))
        bad = bytearray(good)
        bad[at] ^= 1 << at % 8
        (copy / "snapshots" / "a.redb").write_bytes(bad)
        try:
            with sk.open(copy, ring_bytes=65536, segment_bytes=65536) as state:
                read_as_written(state)
        except sk.errors.Corrupted:
            told += 1
            assert (copy / "snapshots" / "a.redb").read_bytes() == bad
        shutil.rmtree(copy)
    assert told > 20
