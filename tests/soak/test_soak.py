"""A short soak. The long form, whose criteria are about growth, is `make soak`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spellkeep
from soak.criteria import descriptors, threads
from soak.run import Soaked, soak
from soak.work import Worker, counters_wrong
from spellkeep import StateManager

OPS = 50_000


def _soak(folder: Path, seed: int) -> Soaked:
    return soak(folder, op_count=OPS, seed=seed, threads=4, key_count=2_000, segment_bytes=8 << 20)


def test_a_short_soak_answers_every_call_rightly_and_opens_nothing_more(tmp_path: Path) -> None:
    seed = secrets.randbelow(1 << 32)
    soaked = _soak(tmp_path, seed)
    repeat = f"PYTHONPATH=tests python -m soak --ops {OPS} --keys 2000 --seed {seed}"
    assert soaked.wrong == [], repeat
    assert soaked.op_count == OPS
    # Memory has not found its size after so few operations.
    assert [*descriptors(soaked.samples), *threads(soaked.samples)] == [], repeat


def _worked(state: StateManager) -> Worker:
    worker = Worker(state, 0, "7", 64, 2_000)
    worker.fill()
    worker.thread.start()
    worker.thread.join()
    return worker


def test_a_key_that_changed_behind_the_back_of_its_worker_is_reported() -> None:
    with spellkeep.open("memory:") as state:
        worker = _worked(state)
        worker.check(state)
        assert worker.wrong == []
        state.set(worker.scopes[3], "key/0", "other")
        worker.check(state)
        assert len(worker.wrong) == 1


def test_a_counter_that_lost_an_increment_is_reported() -> None:
    with spellkeep.open("memory:") as state:
        worker = _worked(state)
        assert counters_wrong(state, [worker]) == []
        worker.increments[0] += 1
        assert len(counters_wrong(state, [worker])) == 1


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("get", lambda *_: "stale"),
        ("delete", lambda *_: 0),
        ("clear_scope", lambda *_: 10_000),
        ("list_keys", lambda *_: ["key/0"]),
        ("history", lambda *_, limit: []),
    ],
)
def test_a_store_that_answers_wrongly_is_reported(
    call: str, wrong: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with spellkeep.open("memory:") as state:
        monkeypatch.setattr(StateManager, call, wrong)
        worker = _worked(state)
        assert worker.wrong
        assert worker.done_count < worker.op_count
