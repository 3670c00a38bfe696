"""Stores of every format version that was ever written are read by this build."""

import pathlib
import shutil
from collections.abc import Iterator

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import StateClass, StateScope

from .make import CLEARED, SCOPES, SCOUT, Colour, values

FOLDERS = sorted(pathlib.Path(__file__).parent.glob("v[0-9]*"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def state(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[sk.StateManager]:
    sk.register(Colour, tag="golden.colour")
    with sk.open(shutil.copytree(request.param, tmp_path / "store"), ring_bytes=65536, segment_bytes=65536) as state:
        yield state


def test_there_is_a_golden_store() -> None:
    assert [folder.name for folder in FOLDERS][:1] == ["v1"]


def test_every_value_of_a_golden_store_reads_as_it_was_written(state: sk.StateManager) -> None:
    for name, value in values().items():
        got = state.get(SCOUT, name)
        if name == "arrays":
            for mine, theirs in zip(value, got, strict=True):
                assert mine.dtype == theirs.dtype
                assert np.array_equal(mine, theirs)
        else:
            assert (repr(got), type(got)) == (repr(value), type(value)), name
    assert state.get(SCOUT, "larger than the ring") == "x" * 70_000


def test_every_record_of_a_golden_store_has_its_effect(state: sk.StateManager) -> None:
    assert state.get(SCOUT, "twice") == 2
    assert not state.exists(SCOUT, "deleted")
    assert state.list_keys(CLEARED) == ["set after the clear"]
    assert state.get(SCOUT, "last") == "done"
    assert state.entry(SCOUT, "trusted").state_class is StateClass.TRUSTED
    live = {scope for scope in SCOPES if state.get(scope, "here") == str(scope)}
    assert live == set(SCOPES) - {StateScope.tool("search")}


def test_the_history_of_a_golden_store_is_whole(state: sk.StateManager) -> None:
    assert [change.operation for change in state.history(SCOUT, "deleted")] == ["delete", "set"]
    assert [change.value for change in state.history(SCOUT, "twice")] == [2, 1]
    versions = [change.version for change in state.changes()]
    assert versions == list(range(1, state.last_version + 1))


def test_a_golden_store_can_be_written_to(state: sk.StateManager) -> None:
    version = state.set(SCOUT, "twice", 3)
    state.flush()
    assert state.history(SCOUT, "twice")[0].version == version
    assert state.get(SCOUT, "twice") == 3
