"""Threads that read and write few keys at once, and note each call."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Literal, TypeAlias

from linear.history import Call
from spellkeep import StateManager, StateScope
from spellkeep.errors import Conflict, KeyMissing

SCOPE = StateScope.workflow("linear")
KEYS = ("a", "b", "c")
THREADS = 8
_LARGE_BYTES = 40_000

Write: TypeAlias = tuple[str, str | None, int | None]
"""As in `Call`."""


class _Thread(threading.Thread):
    def __init__(
        self, state: StateManager, number: int, seed: str, count: int, large_every: int, barrier: threading.Barrier
    ) -> None:
        super().__init__(daemon=True)
        self.state, self.number, self.count, self.barrier = state, number, count, barrier
        self.large_every = large_every
        self.rng = random.Random(f"{seed}/{number}")
        self.calls: list[Call] = []
        self.known: dict[str, int] = dict.fromkeys(KEYS, 0)
        self.failure: BaseException | None = None

    def run(self) -> None:
        self.barrier.wait()
        try:
            self._call()
        except BaseException as failure:
            self.failure = failure

    def _call(self) -> None:
        for number in range(self.count):
            roll, mark = self.rng.random(), f"{self.number}.{number}"
            if roll < 0.4:
                self._read(self.rng.choice(KEYS))
            elif roll < 0.55:
                self._write(((self.rng.choice(KEYS), mark, None),))
            elif roll < 0.65:
                self._write(((self.rng.choice(KEYS), None, self._expected(self.rng.choice(KEYS), 0.3)),))
            elif roll < 0.8:
                key = self.rng.choice(KEYS)
                self._write(((key, mark, self._expected(key, 1)),))
            else:
                self._write(tuple(self._part(key, mark) for key in self.rng.sample(KEYS, self.rng.randint(2, 3))))

    def _part(self, key: str, mark: str) -> Write:
        return key, None if self.rng.random() < 0.2 else f"{mark}.{key}", self._expected(key, 0.15)

    def _expected(self, key: str, share: float) -> int | None:
        return self.known[key] if self.rng.random() < share else None

    def _read(self, key: str) -> None:
        kind: Literal["get", "entry"] = "get" if self.rng.random() < 0.5 else "entry"
        begun = time.perf_counter_ns()
        answer: Any = None
        if kind == "get":
            value = self.state.get(SCOPE, key)
            answer = None if value is None else value["mark"]
        else:
            try:
                answer = self.known[key] = self.state.entry(SCOPE, key).version
            except KeyMissing:
                answer = self.known[key] = 0
        self._note(kind, ((key, None, None),), begun, answer)

    def _write(self, writes: tuple[Write, ...]) -> None:
        begun = time.perf_counter_ns()
        answer: Any
        try:
            answer = self._commit(writes)
        except Conflict as conflict:
            answer = conflict.with_traceback(None)
        self._note("write", writes, begun, answer)
        if not isinstance(answer, Conflict):
            for (key, mark, _), version in zip(writes, answer, strict=True):
                self.known[key] = version if mark is not None else 0

    def _commit(self, writes: tuple[Write, ...]) -> list[int]:
        if len(writes) > 1:
            with self.state.batch() as batch:
                for key, mark, expected in writes:
                    if mark is None:
                        batch.delete(SCOPE, key, if_version=expected)
                    else:
                        batch.set(SCOPE, key, self._value(mark), if_version=expected)
            assert batch.versions is not None
            return batch.versions
        ((key, mark, expected),) = writes
        if mark is None:
            return [self.state.delete(SCOPE, key, if_version=expected)]
        return [self.state.set(SCOPE, key, self._value(mark), if_version=expected)]

    def _value(self, mark: str) -> dict[str, Any]:
        return {"mark": mark, "fill": "x" * (_LARGE_BYTES if self.rng.random() * self.large_every < 1 else 20)}

    def _note(self, kind: Any, writes: Any, begun_ns: int, answer: Any) -> None:
        self.calls.append(Call(self.number, kind, writes, begun_ns, time.perf_counter_ns(), answer))


def record(state: StateManager, seed: str, count: int, *, large_every: int = 50) -> list[Call]:
    """So many calls by each of `THREADS` threads at once, on keys without a value. Raises: what a call raised.

    Args:
        large_every: one value of so many does not fit into a small ring, so that it takes the other way to the log.
    """
    barrier = threading.Barrier(THREADS)
    threads = [_Thread(state, number, seed, count, large_every, barrier) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
    return [call for thread in threads for call in thread.calls]
