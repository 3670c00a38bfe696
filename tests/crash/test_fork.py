"""Forks: the child notices, the parent goes on, and neither disturbs the other."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")

FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)

def forked(child):
    pid = os.fork()
    if pid == 0:
        child()
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


@pytest.mark.parametrize(
    "call",
    [
        'state.set(scout, "k", 2)',
        'state.get(scout, "k")',
        'state.delete(scout, "k")',
        "state.list_keys(scout)",
        "state.clear_scope(scout)",
        "state.flush()",
        "list(state.changes())",
        'handle.set("k", 2)',
        'handle["k"]',
        "batch.commit()",
        'view.get(scout, "k")',
        "state.read_view()",
    ],
)
def test_every_call_in_the_child_says_that_it_was_forked(call: str, tmp_path: Path) -> None:
    script = f"""{FORK}
state = spellkeep.open(store)
state.set(scout, "k", 1)
handle, batch, view = state.scope(scout), state.batch(), state.read_view()
batch.set(scout, "b", 1)
def child():
    try:
        {call}
        print("no error")
    except errors.Forked as error:
        print(error.code)
assert forked(child) == 0
state.set(scout, "after", 1)
state.close()
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "store.forked\n", "")
    with spellkeep.open(tmp_path / "s") as state:
        assert dict(state.items(SCOUT)) == {"k": 1, "after": 1}


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "state.close()", "del state; import gc; gc.collect()"])
def test_the_end_of_the_child_leaves_the_parent_its_lock_and_its_records(end: str, tmp_path: Path) -> None:
    script = f"""{FORK}
import subprocess
state = spellkeep.open(store)
state.set(scout, "before", 1)
pid = os.fork()
if pid == 0:
    {end}
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
other = "import spellkeep, sys\\ntry: spellkeep.open(sys.argv[1])\\n"
other += "except spellkeep.errors.StoreLocked as error: print(error.pid)"
told = subprocess.run([sys.executable, "-c", other, store], capture_output=True, text=True)
assert told.stdout == f"{{os.getpid()}}\\n", told
for number in range(5000):
    state.set(scout, f"k{{number % 100}}", number)
state.flush()
state.close()
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean
        assert state.last_version == 5001
        assert state.get(SCOUT, "k99") == 4999


def test_a_child_may_open_a_store_of_its_own_but_not_the_parents(tmp_path: Path) -> None:
    script = f"""{FORK}
state = spellkeep.open(store)
def child():
    try:
        spellkeep.open(store)
    except errors.StoreLocked as error:
        print(error.pid == os.getppid())
    with spellkeep.open(store + "-own") as own:
        own.set(scout, "k", "child")
assert forked(child) == 0
state.set(scout, "k", "parent")
state.close()
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    for name, owner in (("s", "parent"), ("s-own", "child")):
        with spellkeep.open(tmp_path / name) as state:
            assert state.get(SCOUT, "k") == owner


def test_once_the_parent_has_closed_the_child_opens_the_store(tmp_path: Path) -> None:
    script = f"""{FORK}
state = spellkeep.open(store)
state.set(scout, "k", 1)
reading, writing = os.pipe()
pid = os.fork()
if pid == 0:
    os.read(reading, 1)
    with spellkeep.open(store) as own:
        own.set(scout, "k", own.get(scout, "k") + 1)
    os._exit(0)
state.close()
os.write(writing, b"x")
assert os.waitpid(pid, 0)[1] == 0
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    with spellkeep.open(tmp_path / "s") as state:
        assert state.get(SCOUT, "k") == 2


def test_forks_while_threads_write_leave_every_acknowledged_write(tmp_path: Path) -> None:
    script = f"""{FORK}
import threading
state = spellkeep.open(store, ring_bytes=65536)
counts, go_on = [0] * 3, True
def write(thread):
    while go_on:
        state.set(scout, f"t{{thread}}", counts[thread] + 1)
        counts[thread] += 1
threads = [threading.Thread(target=write, args=(thread,)) for thread in range(3)]
for thread in threads: thread.start()
def child():
    try:
        state.set(scout, "t0", "child")
        print("no error")
    except errors.Forked:
        pass
for _ in range(30):
    assert forked(child) == 0
go_on = False
for thread in threads: thread.join()
print(*counts)
os._exit(0)
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    counts = [int(count) for count in done.stdout.split()]
    with spellkeep.open(tmp_path / "s") as state:
        assert [state.get(SCOUT, f"t{thread}") for thread in range(3)] == counts
        assert state.last_version == sum(counts)


def test_a_pool_of_forked_workers_does_not_harm_the_store_of_its_parent(tmp_path: Path) -> None:
    script = f"""{FORK}
import multiprocessing
state = spellkeep.open(store)
state.set(scout, "k", 1)
def work(number):
    try:
        return state.get(scout, "k")
    except errors.Forked:
        return number
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(4)) == [0, 1, 2, 3]
state.set(scout, "k", 2)
"""
    done = run(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    with spellkeep.open(tmp_path / "s") as state:
        assert state.get(SCOUT, "k") == 2
