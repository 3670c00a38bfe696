"""The operations: a few threads, a bounded number of keys, and a plain dict beside the store that knows each answer."""

from __future__ import annotations

import random
import threading
from typing import Any, Final

from spellkeep import StateManager, StateScope
from spellkeep.errors import Conflict, KeyMissing

SCOPES_PER_THREAD = 16
_HISTORY_MAX = 8
_LARGE = 0.01
_SHARED = StateScope.workflow("shared")
_COUNTERS = 4
FIRST: Final = (0, 100)

# A value as the model has it, so that the model takes little memory: the number in it and the length of its text.
Mark = tuple[int, int]

# Of a thousand.
_MIX = {
    "get": 400,
    "set": 330,
    "delete": 80,
    "cas": 80,
    "batch": 50,
    "history": 30,
    "list_keys": 28,
    "clear_scope": 2,
}


def value_of(mark: Mark) -> list[Any]:
    """The value that is stored."""
    number, size = mark
    return [number, "v" * size]


class Worker:
    """A thread with scopes of its own, each answer of which it can tell.

    Attributes:
        thread: which does them, once it is started.
        done_count: operations so far.
        wrong: what was not as it had to be.
        increments: how often it moved each shared counter on.
    """

    def __init__(self, state: StateManager, number: int, seed: str, keys: int, op_count: int) -> None:
        self.thread = threading.Thread(target=self._run, name=f"worker-{number}", daemon=True)
        self.state, self.keys_per_scope, self.op_count = state, max(1, keys // SCOPES_PER_THREAD), op_count
        self.scopes = [StateScope.agent(f"{number}/{place}") for place in range(SCOPES_PER_THREAD)]
        self.rng = random.Random(f"{seed}/{number}")
        self.model: list[dict[str, Mark]] = [{} for _ in self.scopes]
        self.increments = [0] * _COUNTERS
        self.done_count = 0
        self.wrong: list[str] = []

    def fill(self) -> int:
        """Set every key to the same value. Returns: how many there are."""
        value = value_of(FIRST)
        for scope in self.scopes:
            for number in range(self.keys_per_scope):
                self.state.set(scope, f"key/{number}", value)
        return len(self.scopes) * self.keys_per_scope

    def _run(self) -> None:
        self.model = [dict.fromkeys((f"key/{n}" for n in range(self.keys_per_scope)), FIRST) for _ in self.scopes]
        calls, weights = [getattr(self, f"_{kind}") for kind in _MIX], list(_MIX.values())
        try:
            while self.done_count < self.op_count and not self.wrong:
                for call in self.rng.choices(calls, weights, k=min(100, self.op_count - self.done_count)):
                    call(self.rng.randrange(SCOPES_PER_THREAD), f"key/{self.rng.randrange(self.keys_per_scope)}")
                    self.done_count += 1
        except BaseException as failure:
            self.wrong.append(f"{type(failure).__name__}: {failure}")
            raise

    def check(self, state: StateManager) -> None:
        """Every live entry, as ``items`` has it."""
        for scope, live in zip(self.scopes, self.model, strict=True):
            found = dict(state.items(scope))
            if found.keys() != live.keys() or any(found[key] != value_of(mark) for key, mark in live.items()):
                self.wrong.append(f"{scope} does not hold what was written")

    def _mark(self) -> Mark:
        large = self.rng.random() < _LARGE
        return self.done_count, self.rng.randint(2_000, 20_000) if large else self.rng.randint(0, 300)

    def _wanted(self, place: int, key: str) -> list[Any] | None:
        mark = self.model[place].get(key)
        return None if mark is None else value_of(mark)

    def _expect(self, what: str, got: Any, wanted: Any) -> None:
        if got != wanted:
            self.wrong.append(f"{what} gave {str(got)[:80]}, not {str(wanted)[:80]}")

    def _get(self, place: int, key: str) -> None:
        self._expect(f"get of {key}", self.state.get(self.scopes[place], key), self._wanted(place, key))

    def _set(self, place: int, key: str) -> None:
        mark = self.model[place][key] = self._mark()
        self.state.set(self.scopes[place], key, value_of(mark))

    def _delete(self, place: int, key: str) -> None:
        was = self.model[place].pop(key, None)
        version = self.state.delete(self.scopes[place], key)
        self._expect(f"delete of {key}", version > 0, was is not None)

    def _cas(self, place: int, key: str) -> None:
        del key
        counter = f"counter/{place % _COUNTERS}"
        try:
            entry = self.state.entry(_SHARED, counter)
            version, count = entry.version, entry.value
        except KeyMissing:
            version, count = 0, 0
        try:
            self.state.set(_SHARED, counter, count + 1, if_version=version)
            self.increments[place % _COUNTERS] += 1
        except Conflict:
            pass

    def _batch(self, place: int, key: str) -> None:
        live = self.model[place]
        with self.state.batch() as batch:
            for other in {key, *(f"key/{self.rng.randrange(self.keys_per_scope)}" for _ in range(3))}:
                if self.rng.random() < 0.2:
                    live.pop(other, None)
                    batch.delete(self.scopes[place], other)
                else:
                    live[other] = self._mark()
                    batch.set(self.scopes[place], other, value_of(live[other]))

    def _history(self, place: int, key: str) -> None:
        changes = self.state.history(self.scopes[place], key, limit=_HISTORY_MAX)
        if not changes and (stats := self.state.stats()).kept_log_bytes < stats.log_bytes:
            # The log may have been let go past it.
            return
        newest = changes[0].value if changes and changes[0].operation == "set" else None
        self._expect(f"history of {key}", newest, self._wanted(place, key))

    def _list_keys(self, place: int, key: str) -> None:
        prefix = key[:6]
        wanted = sorted(name for name in self.model[place] if name.startswith(prefix))
        self._expect(f"list_keys of {prefix}", self.state.list_keys(self.scopes[place], prefix), wanted)

    def _clear_scope(self, place: int, key: str) -> None:
        del key
        self._expect("clear_scope", self.state.clear_scope(self.scopes[place]), len(self.model[place]))
        self.model[place].clear()


def counters_wrong(state: StateManager, workers: list[Worker]) -> list[str]:
    """The shared counters against what the compare-and-sets reported."""
    wanted = [sum(worker.increments[number] for worker in workers) for number in range(_COUNTERS)]
    found = [state.get(_SHARED, f"counter/{number}", 0) for number in range(_COUNTERS)]
    return [] if found == wanted else [f"the counters are {found}, {wanted} compare-and-sets came back"]
