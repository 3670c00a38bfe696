"""A workload as one contender does it."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rivals.contenders.protocol import Contender, Setting
from rivals.proof import Unproven
from rivals.race import each_ns, singles_ns, together_ns
from rivals.values import Feed
from rivals.workloads import BATCH, LIST_GROUPS, Workload


class Turn:
    """Opened, filled, and ready to take its turns."""

    def __init__(self, made: type[Contender], folder: Path, workload: Workload) -> None:
        self.name, self.workload, self._made, self._folder = made.name, workload, made, folder
        self._setting = Setting(workload.threads, workload.size_bytes)
        per_thread = max(1, workload.keys // workload.threads)
        groups = LIST_GROUPS if workload.kind in ("list", "open") else 1
        # Every contender is given the same values; a value is some 1,000 objects, so few of them serve many keys.
        distinct = min(per_thread, 500)
        self._feeds = [
            Feed([f"run-{thread}/{number:06}" for number in range(distinct)], workload.size_bytes, thread * 1_000_003)
            for thread in range(workload.threads)
        ]
        self._contender: Contender = made(folder, self._setting)
        if workload.kind in ("list", "open"):
            self._keys = [f"user-{at % groups:03}/{at // groups:06}" for at in range(per_thread)]
            self._fill(self._keys)
        else:
            for feed in self._feeds:
                self._contender.batch(feed.first())
        self._calls: list[list[Any]] = []
        self._done: list[list[Any]] = []
        self._turn = 0

    def _fill(self, keys: list[str]) -> None:
        values = [value for _, value in self._feeds[0].first()]
        for begin in range(0, len(keys), 1000):
            part = keys[begin : begin + 1000]
            self._contender.batch([(key, values[at % len(values)]) for at, key in enumerate(part)])
        if self.workload.kind == "open":
            self._contender.close()

    def close(self) -> None:
        """Close the contender."""
        if self.workload.kind != "open":
            self._contender.close()

    def prepare(self, count: int) -> int:
        """Make ready about `count` operations, over all threads; how many."""
        share = max(1, count // self.workload.threads)
        self._calls = [self._calls_of(feed, share) for feed in self._feeds]
        return share * self.workload.threads

    def check(self) -> None:
        """That what was written last is there. Raises: Unproven."""
        if self.workload.kind not in ("set", "new", "batch"):
            return
        for calls in self._done:
            key, value = calls[-1][-1] if self.workload.kind == "batch" else calls[-1]
            if self._contender.get(key) != value:
                raise Unproven(f"{self.name}: {key} is not what was written last")

    def _calls_of(self, feed: Feed, count: int) -> list[Any]:
        match self.workload.kind:
            case "set":
                return feed.writes(count)
            case "new":
                return feed.new(count, "new")
            case "get" | "cas":
                return feed.reads(count)
            case "batch":
                return [feed.writes(BATCH) for _ in range(count)]
            case "mixed":
                calls: list[tuple[str, Any]] = feed.writes(count)
                return [(key, value if at % 5 == 0 else None) for at, (key, value) in enumerate(calls)]
            case "list":
                self._turn += count
                return [f"user-{at % LIST_GROUPS:03}/" for at in range(self._turn - count, self._turn)]
            case "open":
                return [self._keys[17]] * count

    def _operation(self) -> tuple[Callable[..., object], bool]:
        """What is called, and whether with a key and a value."""
        contender = self._contender
        match self.workload.kind:
            case "set" | "new":
                return contender.set, True
            case "get":
                return contender.get, False
            case "batch":
                return contender.batch, False
            case "list":
                return contender.keys, False
            case "cas":
                read, compare_and_set = contender.read, contender.compare_and_set

                def advance(key: str) -> None:
                    while True:
                        value, seen = read(key)
                        value["step"] += 1
                        if compare_and_set(key, value, seen):
                            return

                return advance, False
            case "mixed":
                get, put = contender.get, contender.set

                def either(key: str, value: Any) -> None:
                    if value is None:
                        get(key)
                    else:
                        put(key, value)

                return either, True
            case "open":

                def reopen(key: str) -> None:
                    self._contender = self._made(self._folder, self._setting)
                    self._contender.get(key)

                return reopen, False

    def whole_ns(self) -> int:
        """Do what was made ready; the time of all of it."""
        call, pairs = self._operation()
        with self._checkpoints():
            if self.workload.threads > 1:
                took = together_ns([partial(each_ns, call, calls, pairs) for calls in self._calls])
            else:
                took = each_ns(call, self._calls[0], pairs)
        self._after()
        return took

    def singles_ns(self) -> array[int]:
        """Do what was made ready; the time of each. Nothing of threads: they mostly wait for each other's turn."""
        if self.workload.threads > 1:
            return array("q")
        call, pairs = self._operation()
        with self._checkpoints():
            times = singles_ns(call, self._calls[0], pairs)
        self._after()
        return times

    def _after(self) -> None:
        self._done = self._calls
        if self.workload.kind == "open":
            self._contender.close()

    @contextmanager
    def _checkpoints(self) -> Iterator[None]:
        if not self.workload.checkpoint:
            yield
            return
        done, contender = threading.Event(), self._contender
        failures: list[BaseException] = []

        def run() -> None:
            try:
                while True:
                    contender.checkpoint()
                    if done.wait(0.001):
                        return
            except BaseException as failure:
                failures.append(failure)

        thread = threading.Thread(target=run, name="checkpoints")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        if failures:
            raise failures[0]
