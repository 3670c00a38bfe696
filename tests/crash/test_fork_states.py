"""Forks at every moment of a store's life: during checkpoints, expiries, syncs and batches of other threads."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")

PRELUDE = """
import gc, hashlib, pathlib, signal, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)

def hashes():
    files = sorted(file for file in pathlib.Path(store).rglob("*") if file.is_file())
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

def refused(call):
    try:
        call()
    except errors.Forked as error:
        assert error.code == "store.forked"
    else:
        print("no error from", call, flush=True)

def try_everything(state, number):
    for call in (
        lambda: state.set(scout, "k", "child"),
        lambda: state.get(scout, "k"),
        lambda: state.view(scout, "k"),
        lambda: state.entry(scout, "k"),
        lambda: state.delete(scout, "k"),
        lambda: state.exists(scout, "k"),
        lambda: state.list_keys(scout),
        lambda: state.items(scout),
        lambda: state.clear_scope(scout),
        lambda: state.list_scopes(),
        lambda: state.history(scout, "k"),
        lambda: list(state.changes()),
        lambda: state.batch(),
        lambda: state.stats(),
        lambda: state.last_version,
        state.checkpoint,
        state.flush,
        state.__enter__,
    ):
        refused(call)
    assert state.forked and not state.closed and "parent" in repr(state)
    with spellkeep.open(f"{store}-own-{number}", ring_bytes=65536, segment_bytes=65536) as own:
        own.set(scout, "k", number, ttl_s=60)
        own.checkpoint()
        assert own.get(scout, "k") == number

def fork(state, number, end):
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    # Whoever waits for ever is ended by this, and the parent sees the signal.
    signal.alarm(60)
    try_everything(state, number)
    if end == "os._exit":
        os._exit(0)
    if end == "close":
        state.close()
    if end == "collect":
        for name, value in list(globals().items()):
            if value is state:
                del globals()[name]
        del state
        gc.collect()
    sys.exit(0)

def ended(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


CHILD_OF_AN_IDLE_PARENT = """
state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536, keep_log_bytes=0)
for number in range(2000):
    state.set(scout, f"k{number % 40}", number)
state.set(scout, "k", 1, ttl_s=3600)
state.checkpoint()
state.set(scout, "behind", 1)
state.flush()
# What the background still does to files.
before = None
while before != (now := hashes()):
    before = now
    time.sleep(0.1)
assert any("a.rows" in name for name in before) and any("b.rows" in name for name in before)
ended(fork(state, 0, sys.argv[2]))
after = hashes()
assert after == before, [name for name in after if after[name] != before.get(name)]
state.set(scout, "after", 1)
state.checkpoint()
state.close()
"""


@pytest.mark.parametrize("end", ["os._exit", "sys.exit", "close", "collect"])
def test_a_child_changes_no_byte_of_any_file_and_ends_in_silence(end: str, tmp_path: Path) -> None:
    done = run(PRELUDE + CHILD_OF_AN_IDLE_PARENT, tmp_path / "s", end)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert not state.recovery.snapshot_damage
        assert (state.get(SCOUT, "k39"), state.get(SCOUT, "behind"), state.get(SCOUT, "after")) == (1999, 1, 1)


# What the other threads of the parent do while it forks.
WORK = {
    "checkpoints": """
def work(index):
    state.set(scout, f"filler {index}", bytes(300_000))
    state.checkpoint()
""",
    "checkpoints in the background": """
def work(index):
    state.set(scout, f"filler {index}", bytes(4 << 20))
""",
    "expiries": """
def work(index):
    for number in range(200):
        state.set(scout, f"short {number}", number, ttl_s=0.02)
""",
    "syncs": """
def work(index):
    state.set(scout, f"filler {index}", index)
    state.flush()
""",
    "batches": """
def work(index):
    with state.batch() as batch:
        for number in range(50):
            batch.set(scout, f"{index} {number}", bytes(1000))
""",
    "reads": """
def work(index):
    state.history(scout, "acknowledged 0", limit=50)
    sum(1 for _ in state.changes(since=max(0, state.last_version - 300)))
    dict(state.items(scout, "acknowledged"))
""",
    "openings": """
def work(index):
    with spellkeep.open(f"{store}-other-{index}", ring_bytes=65536, segment_bytes=65536) as other:
        other.set(scout, "k", 1)
        other.checkpoint()
""",
}

FORKS_DURING_WORK = """
state = spellkeep.open(store, segment_bytes=1 << 20, keep_log_bytes=0)
go_on, counts = True, [0, 0]
def write(index):
    while go_on:
        work(index)
        state.set(scout, f"acknowledged {index}", counts[index] + 1)
        counts[index] += 1
threads = [threading.Thread(target=write, args=(index,)) for index in range(2)]
for thread in threads:
    thread.start()
while min(counts) == 0:
    time.sleep(0.01)
for number in range(3):
    time.sleep(0.01)
    ended(fork(state, number, ["sys.exit", "os._exit", "collect"][number % 3]))
go_on = False
for thread in threads:
    thread.join()
assert state.stats().checkpoint_failure is None
state.checkpoint()
print(*counts)
"""


@pytest.mark.parametrize("work", WORK)
def test_forks_while_other_threads_work_neither_hang_the_child_nor_harm_the_parent(work: str, tmp_path: Path) -> None:
    done = run(PRELUDE + WORK[work] + FORKS_DURING_WORK, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    counts = [int(count) for count in done.stdout.split()]
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert not state.recovery.snapshot_damage
        assert [state.get(SCOUT, f"acknowledged {index}") for index in range(2)] == counts


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_have_stores_of_their_own_and_not_the_parents(method: str, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(
        """
import spellkeep
from spellkeep import StateScope, errors

state = None

def work(path):
    try:
        return state.get(StateScope.GLOBAL, "k") if state else "no store here"
    except errors.Forked:
        with spellkeep.open(path) as own:
            own.set(StateScope.GLOBAL, "k", path)
        return "forked"
"""
    )
    script = """
import multiprocessing, worker
state = worker.state = spellkeep.open(store)
state.set(StateScope.GLOBAL, "k", 1)
processes = multiprocessing.get_context(sys.argv[2])
with processes.Pool(2) as pool:
    print(*set(pool.map(worker.work, [f"{store}-{number}" for number in range(4)])))
state.set(StateScope.GLOBAL, "k", 2)
"""
    env = {"PYTHONPATH": str(tmp_path), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    done = run(script, tmp_path / "s", method, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == {"fork": "forked", "spawn": "no store here"}[method]
    with spellkeep.open(tmp_path / "s") as state:
        assert state.get(StateScope.GLOBAL, "k") == 2


def test_a_child_does_not_wait_for_locks_that_threads_of_its_parent_hold(tmp_path: Path) -> None:
    """The locks around registered classes and around what waits on event loops stayed held in the child, for good."""
    script = """
import asyncio, dataclasses
from spellkeep import _waiting, value

def child():
    @value.register
    @dataclasses.dataclass
    class Point:
        x: int

    async def work():
        async with spellkeep.open(store + "-own", durability="sync") as own:
            await own.aset(scout, "k", Point(1))
            assert own.get(scout, "k") == Point(1)
    asyncio.run(work())

with _waiting._making, value._registering:
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        child()
        os._exit(0)
ended(pid)
"""
    done = run(PRELUDE + script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
