"""Every way for a process to end without `close`."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep
from crash.child import run
from spellkeep import StateScope

SCOUT = StateScope.agent("scout")

WRITE = """
state = spellkeep.open(store, durability="process")
for number in range(1000):
    state.set(scout, f"k{number}", number)
"""


def _kept(store: Path) -> dict[str, int]:
    with spellkeep.open(store) as state:
        return dict(state.items(SCOUT))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("raise RuntimeError('on purpose')", 1),
        ("os.abort()", -6),
        ("del state", 0),
        ("state.cycle = state; del state; import gc; gc.collect()", 0),
        ("import signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
)
def test_a_process_that_ends_without_closing_loses_nothing(end: str, code: int, tmp_path: Path) -> None:
    done = run(f"{WRITE}\n{end}", tmp_path / "s")
    assert done.returncode == code, done.stderr
    if code == 0:
        assert done.stderr == ""
    assert _kept(tmp_path / "s") == {f"k{number}": number for number in range(1000)}


def test_an_exit_of_the_interpreter_closes_the_store(tmp_path: Path) -> None:
    assert run(WRITE, tmp_path / "s").returncode == 0
    with spellkeep.open(tmp_path / "s") as state:
        assert state.recovery.clean


def test_a_daemon_thread_that_is_still_writing_does_not_disturb_the_exit(tmp_path: Path) -> None:
    script = """
    import threading, time
    state = spellkeep.open(store)
    started = threading.Event()
    def write():
        number = 0
        while True:
            try:
                version = state.set(scout, f"k{number % 50}", number)
            except errors.Closed:
                return
            os.write(1, b"%d %d\\n" % (number, version))
            number += 1
            if number == 20:
                started.set()
    threading.Thread(target=write, daemon=True).start()
    started.wait()
    """
    for turn in range(5):
        store = tmp_path / f"s{turn}"
        done = run(script, store)
        assert (done.returncode, done.stderr) == (0, "")
        acknowledged = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
        with spellkeep.open(store) as state:
            assert state.last_version >= acknowledged[-1][1]
            changes = {change.version: change.value for change in state.changes()}
        assert all(changes[version] == number for number, version in acknowledged)
        # At most the write whose number the thread could not print any more.
        assert len(changes) <= len(acknowledged) + 1


def test_a_store_used_in_an_exit_handler_still_answers(tmp_path: Path) -> None:
    script = """
    import atexit
    @atexit.register
    def late():
        # Registered before the store was opened, so it runs after the store was closed.
        try:
            state.set(scout, "late", 1)
        except errors.Closed:
            print("closed")
    state = spellkeep.open(store)
    atexit.register(lambda: state.set(scout, "last words", 1))
    """
    done = run(script, tmp_path / "s")
    assert done.returncode == 0, done.stderr
    kept = _kept(tmp_path / "s")
    # Either order is fine, as long as what did not raise is there.
    assert ("late" in kept) == ("closed" not in done.stdout)
