"""Eight threads over every call at once. It runs under any interpreter, and longer where there is no GIL."""

from __future__ import annotations

import random
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors

SCOPES = [StateScope.agent("scout"), StateScope.user("ada"), StateScope.GLOBAL]
THREADS = 8
FREE = sysconfig.get_config_var("Py_GIL_DISABLED") == 1
DURATION_S = 8.0 if FREE else 0.8


@sk.value.register
@dataclass
class Point:
    x: int
    y: int


class Work:
    """What the threads do to one store, and what they share on purpose."""

    def __init__(self, state: StateManager) -> None:
        self.state = state
        self.until_s = time.monotonic() + DURATION_S
        # Changed by some threads while others write them to the store.
        self.shared_list: list[Any] = [0]
        self.shared_dict: dict[str, Any] = {"a": 0}
        self.shared_bytes = bytearray(10)
        self.shared_set = {0}
        self.handle = state.scope(SCOPES[0])
        self.batch = state.batch()
        self.changes = state.changes()
        self.seen: list[int] = []
        self.counts = [0] * THREADS
        self.failures: list[BaseException] = []

    def value(self, number: int) -> Any:
        pad = {f"key {index}": number for index in range(number % 40)}
        return {"number": number, "same": [number] * 5, "point": Point(number, number), "bytes": bytes(50), **pad}

    def set_and_get(self, index: int, number: int, rng: random.Random) -> None:
        key = f"k{rng.randrange(20)}"
        self.state.set(rng.choice(SCOPES), key, self.value(number))
        found = self.handle.get(key)
        if found is not None:
            assert found["same"] == [found["number"]] * 5
            assert found["point"] == Point(found["number"], found["number"])

    def compare_and_set(self, index: int, number: int, rng: random.Random) -> None:
        while True:
            try:
                entry = self.state.entry(SCOPES[0], "count")
            except errors.KeyMissing:
                entry = None
            try:
                self.state.set(
                    SCOPES[0], "count", entry.value + 1 if entry else 1, if_version=entry.version if entry else 0
                )
            except errors.Conflict:
                continue
            self.counts[index] += 1
            return

    def batches(self, index: int, number: int, rng: random.Random) -> None:
        with self.state.batch() as batch:
            for name in ("twin", "other twin"):
                batch.set(SCOPES[1], name, (index, number))
        if rng.random() < 0.1:
            self.batch = self.state.batch()
        try:
            self.batch.set(SCOPES[1], "common", self.value(number))
            self.batch.commit()
        except errors.Closed as error:
            assert error.code == "batch.committed"

    def views(self, index: int, number: int, rng: random.Random) -> None:
        try:
            view = self.state.view(SCOPES[0], f"k{rng.randrange(20)}")
        except errors.KeyMissing:
            return
        assert view["same"][4] == view["number"] == dict(view)["number"]
        assert len(list(view)) == len(view)

    def histories(self, index: int, number: int, rng: random.Random) -> None:
        history = self.state.history(SCOPES[0], "count", limit=20)
        assert [change.version for change in history] == sorted((change.version for change in history), reverse=True)
        # One cursor for all threads: each change goes to one of them.
        self.seen += [change.version for change, _ in zip(self.changes, range(50), strict=False)]

    def walks(self, index: int, number: int, rng: random.Random) -> None:
        for _, value in self.handle.items():
            assert type(value) in (dict, int, list, bytearray, set, tuple)
        self.state.stats()
        self.state.list_scopes()
        assert len(self.state.list_keys(SCOPES[2], "k")) <= 20

    def changing_values(self, index: int, number: int, rng: random.Random) -> None:
        """Writes what others are just changing: any of its states, or an error that says that it changed."""
        if rng.random() < 0.5:
            self.shared_list.extend([number] * rng.randrange(50))
            del self.shared_list[rng.randrange(20) :]
            self.shared_dict[str(rng.randrange(50))] = self.shared_list
            self.shared_dict.pop(str(rng.randrange(50)), None)
            self.shared_bytes.extend(bytes(rng.randrange(5000)))
            del self.shared_bytes[rng.randrange(10) :]
            self.shared_set.add(number)
            self.shared_set.discard(rng.randrange(number + 1))
            return
        for shared in (self.shared_list, self.shared_dict, self.shared_bytes, self.shared_set):
            try:
                self.state.set(SCOPES[0], f"changing {type(shared).__name__}", shared)
            except errors.NotSerializable as error:
                assert error.code == "value.changed"

    def rare(self, index: int, number: int, rng: random.Random) -> None:
        self.state.set(SCOPES[2], f"short {number % 5}", number, ttl_s=0.001)
        if number % 50 == 0:
            self.state.checkpoint()
        if number % 20 == 0:
            self.state.flush()
            self.state.clear_scope(SCOPES[2])
        sk.value.register(type(f"Local{index}", (), {}), encode=str, decode=lambda payload, version: payload)
        hash(StateScope.agent(f"{number % 7}"))

    def run(self, index: int, call: Callable[[int, int, random.Random], None]) -> None:
        rng, number = random.Random(index), 0
        try:
            # Once at least, however late its turn comes.
            while number == 0 or time.monotonic() < self.until_s:
                number += 1
                call(index, number, rng)
        except BaseException as failure:
            self.failures.append(failure)


def test_eight_threads_over_every_call_see_one_store(tmp_path: Path) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        state = sk.open(tmp_path / "s", segment_bytes=1 << 20, keep_log_bytes=None)
        work = Work(state)
        calls = [work.set_and_get, work.compare_and_set, work.batches, work.views]
        calls += [work.histories, work.walks, work.changing_values, work.rare]
        # Two of each where threads run at the same time.
        calls *= 2 if FREE else 1
        work.counts = [0] * len(calls)
        threads = [threading.Thread(target=work.run, args=(index, call)) for index, call in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not work.failures, work.failures
        assert state.get(SCOPES[0], "count") == sum(work.counts)
        assert len(set(work.seen)) == len(work.seen)
        kept = {scope: dict(state.items(scope)) for scope in SCOPES}
        assert kept[SCOPES[1]]["twin"] == kept[SCOPES[1]]["other twin"]
        # Several close, and others are still at it.
        closers = [threading.Thread(target=state.close) for _ in range(3)]
        for thread in closers:
            thread.start()
        try:
            while True:
                state.stats()
        except errors.Closed:
            pass
        for thread in closers:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    with sk.open(tmp_path / "s", segment_bytes=1 << 20) as again:
        assert again.recovery.clean
        assert {scope: dict(again.items(scope)) for scope in SCOPES[:2]} == {scope: kept[scope] for scope in SCOPES[:2]}


@pytest.mark.skipif(not FREE, reason="this interpreter has a GIL; `make test-314t` looks for one without")
def test_importing_the_package_leaves_the_gil_off() -> None:
    program = "import sys, spellkeep; sys.exit(sys._is_gil_enabled())"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")
