"""Closing while everything else is under way, and from every place that a program may close from."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateManager, StateScope, errors

SCOUT = StateScope.agent("scout")
SMALL = {"ring_bytes": 65536, "segment_bytes": 65536}


def _batch(state: StateManager, number: int) -> None:
    with state.batch() as batch:
        batch.set(SCOUT, "batch", number)
        batch.set(SCOUT, "twin", number)


CALLS: dict[str, Callable[[StateManager, int], object]] = {
    "set": lambda state, number: state.set(SCOUT, "set", number),
    "large": lambda state, number: state.set(SCOUT, "large", [number, bytes(100_000)]),
    "batch": _batch,
    "get": lambda state, number: (state.get(SCOUT, "set"), dict(state.items(SCOUT)), state.stats()),
    "history": lambda state, number: state.history(SCOUT, "set", limit=50),
    "changes": lambda state, number: [
        change.version for change in state.changes(since=max(0, state.last_version - 50))
    ],
    "checkpoint": lambda state, number: state.checkpoint(),
    "flush": lambda state, number: state.flush(),
    "expiring": lambda state, number: state.set(SCOUT, f"short {number % 9}", number, ttl_s=0.005),
}


@pytest.mark.parametrize("durability", ["process", "interval", "sync"])
def test_every_call_in_flight_when_the_store_is_closed_succeeds_or_raises_closed(
    durability: str, tmp_path: Path
) -> None:
    for turn in range(3):
        path = tmp_path / str(turn)
        state = spellkeep.open(path, durability=durability, **SMALL)  # type: ignore[arg-type]
        done: dict[str, int] = dict.fromkeys(CALLS, 0)
        wrong: list[BaseException] = []

        def work(
            name: str, state: StateManager = state, done: dict[str, int] = done, wrong: list[BaseException] = wrong
        ) -> None:
            try:
                while True:
                    CALLS[name](state, done[name] + 1)
                    done[name] += 1
            except errors.Closed as error:
                if error.code != "store.closed":
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

        workers = [threading.Thread(target=work, args=(name,)) for name in CALLS]
        for worker in workers:
            worker.start()
        time.sleep(0.05 + 0.05 * random.Random(turn).random())
        closers = [threading.Thread(target=state.close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for thread in [*closers, *workers]:
            thread.join(60)
            assert not thread.is_alive()
        assert not wrong, wrong
        with spellkeep.open(path, **SMALL) as again:  # type: ignore[arg-type]
            assert again.recovery.clean
            assert not again.recovery.snapshot_damage
            kept = {name: again.get(SCOUT, name, 0) for name in ("set", "batch", "twin")}
            assert kept["batch"] == kept["twin"]
            for name in ("set", "batch"):
                # A write that was taken and could not be waited for any more may be there as well.
                assert kept[name] in (done[name], done[name] + 1), name
            assert again.get(SCOUT, "large", [0])[0] in (done["large"], done["large"] + 1)


PLACES = {
    "a finalizer": """
import weakref
class Owner: pass
owner = Owner()
weakref.finalize(owner, state.close)
del owner
""",
    "a finalizer in a cycle": """
import gc
class Owner:
    def __del__(self): self.state.close()
owner = Owner()
owner.me, owner.state = owner, state
del owner
gc.collect()
""",
    "an exit handler": """
import atexit
atexit.register(state.close)
""",
    "a signal handler": """
import signal
signal.signal(signal.SIGUSR1, lambda *_: state.close())
os.kill(os.getpid(), signal.SIGUSR1)
""",
    "a signal handler in the middle of a call": """
import signal
signal.signal(signal.SIGALRM, lambda *_: state.close())
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    while True:
        with state.batch() as batch:
            batch.set(scout, "fill", bytes(300_000))
        state.checkpoint()
        state.flush()
        state.history(scout, "fill")
except errors.Closed:
    pass
""",
    "an encode function": """
class Point: pass
def encode(point):
    state.close()
    return 1
spellkeep.value.register(Point, encode=encode, decode=lambda payload, version: payload)
try:
    state.set(scout, "point", Point())
except errors.Closed:
    pass
else:
    print("written after the close")
""",
    "another thread at exit": """
import threading, time
def close():
    time.sleep(0.05)
    state.close()
threading.Thread(target=close).start()
""",
    "a coroutine that is cancelled": """
import asyncio
async def main():
    closing = asyncio.create_task(state.aclose())
    await asyncio.sleep(0)
    closing.cancel()
asyncio.run(main())
""",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_store_may_be_closed_from_anywhere(place: str, tmp_path: Path) -> None:
    begin = "state = spellkeep.open(store)\nfor number in range(500):\n    state.set(scout, 'count', number)\n"
    done = run(begin + PLACES[place], tmp_path / "s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert state.get(SCOUT, "count") == 499
