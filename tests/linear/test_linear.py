"""Threads on few keys, for a moment. ``SPELLKEEP_ROUNDS=2000`` looks longer, ``SPELLKEEP_SEED=`` repeats a run."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep
from linear.history import Event, events_of
from linear.keys import wrong_keys
from linear.running import record
from linear.whole import complaints
from spellkeep import StateManager

ROUNDS = int(os.environ.get("SPELLKEEP_ROUNDS", "8"))
CALLS = 40
STORES: dict[str, dict[str, Any]] = {
    "memory": {},
    "interval": {"ring_bytes": 65536, "segment_bytes": 65536, "interval_ms": 1},
    "unmapped": {"ring_bytes": 65536, "mapped_ring": False},
    "sync": {"ring_bytes": 65536, "durability": "sync"},
    # These commit without the interpreter's lock, so that threads meet inside of the engine.
    "large": {"ring_bytes": 65536, "durability": "process"},
}


@pytest.fixture(autouse=True)
def _quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def _wrong(events: list[Event]) -> list[str]:
    return [*wrong_keys(events), *complaints(events)]


# The long form takes as long as it is told to.
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", STORES)
def test_every_call_of_eight_threads_takes_effect_at_one_moment(kind: str, tmp_path: Path) -> None:
    seed = os.environ.get("SPELLKEEP_SEED") or str(secrets.randbelow(1 << 32))
    for number in range(ROUNDS):
        # A young store each time: it begins without values, and the versions of a round are its own.
        with spellkeep.open("memory:" if kind == "memory" else tmp_path / str(number), **STORES[kind]) as state:
            calls = record(state, f"{seed}/{kind}/{number}", CALLS, large_every=3 if kind == "large" else 50)
        wrong = _wrong(events_of(calls))
        assert wrong == [], f"SPELLKEEP_SEED={seed} SPELLKEEP_ROUNDS={ROUNDS} pytest tests/linear -k {kind}\n{wrong}"


# Stores with a defect: what they do in place of a call, given the right one.


def _stale_get(right: Callable[..., Any]) -> Callable[..., Any]:
    seen: dict[str, Any] = {}

    def get(self: StateManager, scope: Any, key: str, default: Any = None) -> Any:
        value = right(self, scope, key, default)
        return seen.setdefault(key, value)

    return get


def _get_then_set(right: Callable[..., Any]) -> Callable[..., Any]:
    def set_(self: StateManager, scope: Any, key: str, value: Any, *, if_version: int | None = None) -> Any:
        if if_version is not None:
            found = self.get(scope, key)
            time.sleep(1e-4)
            if found is None and if_version:
                return right(self, scope, key, value, if_version=if_version)
        return right(self, scope, key, value)

    return set_


def _delete_that_forgets(right: Callable[..., Any]) -> Callable[..., Any]:
    def delete(self: StateManager, scope: Any, key: str, *, if_version: int | None = None) -> Any:
        before = self.get(scope, key)
        version = right(self, scope, key, if_version=if_version)
        if version and before is not None:
            self.set(scope, key, before)
        return version

    return delete


class _OneByOne:
    """A batch that is none, and does the last of its parts first."""

    def __init__(self, state: StateManager) -> None:
        self.state, self.parts, self.versions = state, list[Callable[[], int]](), list[int]()

    def __enter__(self) -> _OneByOne:
        return self

    def __exit__(self, *_: object) -> None:
        for part in reversed(self.parts):
            self.versions.insert(0, part())
            time.sleep(1e-4)

    def set(self, scope: Any, key: str, value: Any, *, if_version: int | None = None) -> None:
        self.parts.append(lambda: self.state.set(scope, key, value))

    def delete(self, scope: Any, key: str, *, if_version: int | None = None) -> None:
        self.parts.append(lambda: self.state.delete(scope, key))


DEFECTS: dict[str, tuple[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "a get that remembers": ("get", _stale_get),
    "a compare-and-set that gets and then sets": ("set", _get_then_set),
    "a delete after which the value comes back": ("delete", _delete_that_forgets),
    "a batch that is several commits": ("batch", lambda _: lambda self: _OneByOne(self)),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_store_with_a_defect_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, spoil = DEFECTS[defect]
    monkeypatch.setattr(StateManager, call, spoil(getattr(StateManager, call)))
    for number in range(20):
        with spellkeep.open("memory:") as state:
            if _wrong(events_of(record(state, f"7/{number}", CALLS))):
                return
    pytest.fail(f"{defect} was not noticed")


def test_the_calls_of_a_round_overlap(tmp_path: Path) -> None:
    """Calls one after the other would show nothing."""
    with spellkeep.open(tmp_path, **STORES["sync"]) as state:
        events = events_of(record(state, "7", CALLS))
    others = [(a, b) for a in events for b in events if a.thread < b.thread and a.key == b.key]
    assert any(a.begun_ns < b.ended_ns and b.begun_ns < a.ended_ns for a, b in others)
