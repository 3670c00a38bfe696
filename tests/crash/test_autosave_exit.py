"""The end of a process with an agent that is saved by itself: exits, SIGTERM, forks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import spellkeep
from crash.autosaved import BEGIN, kept, lived

UNSAVED = """
saves = AutoSave(state, agent, **never).start()
agent.say("unsaved")
saves.notify()
"""
ENDS = {
    "the end of the program": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "an unhandled exception": ("raise RuntimeError('on purpose')", 1),
    "an interrupt": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -2),
    "the end of another thread": ("threading.Thread(target=lambda: agent.say('later')).start()", 0),
    "an event loop that is running": ("async def main():\n    sys.exit(4)\nasyncio.run(main())", 4),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_exit_saves_what_was_not_saved(end: str, tmp_path: Path) -> None:
    script, code = ENDS[end]
    done = lived(script, tmp_path / "s", begin=BEGIN + UNSAVED)
    # Python 3.11 ends a `-c` script that was interrupted with 1.
    assert done.returncode in (code, 1 if code < 0 else code), done.stderr
    assert kept(tmp_path / "s") == ["unsaved", *(["later"] if "thread" in end else [])]


def test_an_exception_in_the_block_saves_what_was_not_saved(tmp_path: Path) -> None:
    script = """
    with state, AutoSave(state, agent, **never) as saves:
        agent.say("unsaved")
        raise RuntimeError("on purpose")
    """
    done = lived(script, tmp_path / "s")
    assert done.returncode == 1
    assert "on purpose" in done.stderr
    assert kept(tmp_path / "s") == ["unsaved"]


def test_without_on_exit_nothing_is_saved_and_nothing_is_said(tmp_path: Path) -> None:
    done = lived(UNSAVED.replace("**never", "on_exit=False, **never"), tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    assert kept(tmp_path / "s") == []


def test_an_exit_that_cannot_save_says_so(tmp_path: Path) -> None:
    script = """
    agent.client = object()
    other = AutoSave(state, Scout("other"), **never).start()
    """
    done = lived(script, tmp_path / "s", begin=BEGIN + UNSAVED)
    assert "NotSerializable: cannot keep an object" in done.stderr
    assert "in 'client' of the state" in done.stderr
    with spellkeep.open(tmp_path / "s") as state:
        # One that fails does not keep the others from being saved.
        assert state.list_saved_agents() == ["other"]
    done = lived("state.close()", tmp_path / "t", begin=BEGIN + UNSAVED)
    assert "Closed" in done.stderr


def test_an_agent_that_hangs_does_not_keep_the_process_from_ending(tmp_path: Path) -> None:
    script = """
    class Hanging(Scout):
        def get_state(self):
            threading.Event().wait()
    saves = AutoSave(state, Hanging(), lock=contextlib.nullcontext(), timeout_s=0.05).start()
    saves.notify()
    """
    done = lived(script, tmp_path / "s")
    assert done.returncode == 0
    assert "Busy" in done.stderr


def test_sigterm_saves_and_ends_as_it_would_have_without(tmp_path: Path) -> None:
    # Idle, the agent comes to no call of its own: it is asked where it stands.
    script = """
    saves.options = __import__("dataclasses").replace(saves.options, grace_s=0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    """
    done = lived(script, tmp_path / "s", begin=BEGIN + UNSAVED)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert kept(tmp_path / "s") == ["unsaved"]


def test_sigterm_waits_for_the_next_call_of_a_busy_agent(tmp_path: Path) -> None:
    # Half way through a change nobody may look at the agent, and the handler came there.
    script = """
    saves = AutoSave(state, agent, grace_s=3600, **never).start()
    saves.notify()
    agent.say("half")
    os.kill(os.getpid(), signal.SIGTERM)
    agent.messages[-1]["content"] = "whole"
    while True:
        saves.notify()
        time.sleep(0.001)
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert kept(tmp_path / "s") == ["whole"]


def test_sigterm_takes_the_lock_of_an_agent_that_has_one(tmp_path: Path) -> None:
    script = """
    lock = threading.Lock()
    saves = AutoSave(state, agent, lock=lock, **never).start()
    def live():
        while True:
            with lock:
                agent.say("half")
                time.sleep(0.001)
                agent.messages[-1]["content"] = "whole"
            saves.notify()
            time.sleep(0.001)
    threading.Thread(target=live, daemon=True).start()
    while not agent.messages:
        time.sleep(0.001)
    with lock:
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert set(kept(tmp_path / "s")) == {"whole"}


def test_sigterm_saves_an_agent_of_an_event_loop_between_two_callbacks(tmp_path: Path) -> None:
    script = """
    async def live():
        async with AutoSave(state, agent, grace_s=3600, **never) as saves:
            agent.say("half")
            os.kill(os.getpid(), signal.SIGTERM)
            agent.messages[-1]["content"] = "whole"
            await asyncio.sleep(60)
    asyncio.run(live())
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert kept(tmp_path / "s") == ["whole"]


HANDLERS = {
    "exits": ("def handler(*_): print('mine'); sys.exit(7)", 7, "mine"),
    "exits at once": ("def handler(*_): print('mine', flush=True); os._exit(8)", 8, "mine"),
    "goes on": ("said = []\ndef handler(*_): print('mine'); said.append(1)", 0, "mine"),
    "ignored": ("handler = signal.SIG_IGN", 0, ""),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_the_handler_that_was_there_is_called_once_behind_the_save(name: str, tmp_path: Path) -> None:
    handler, code, said = HANDLERS[name]
    script = f"""
{handler}
signal.signal(signal.SIGTERM, handler)
saves = AutoSave(state, agent, grace_s=0, on_exit=False, **never).start()
agent.say("unsaved")
saves.notify()
os.kill(os.getpid(), signal.SIGTERM)
deadline = time.monotonic() + 60
while time.monotonic() < deadline and not (saves.metrics.succeeded and {name!r} == "ignored"):
    time.sleep(0.01)
    if {name!r} == "goes on" and saves.metrics.succeeded and said:
        time.sleep(0.2)
        break
saves.stop()
assert signal.getsignal(signal.SIGTERM) == handler
"""
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr, done.stdout.strip()) == (code, "", said)
    assert kept(tmp_path / "s") == ["unsaved"]


def test_a_handler_of_an_event_loop_is_called_once(tmp_path: Path) -> None:
    script = """
    async def live():
        asked = asyncio.Event()
        calls = []
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (calls.append(1), asked.set()))
        async with AutoSave(state, agent, **never) as saves:
            agent.say("unsaved")
            saves.mark_dirty()
            os.kill(os.getpid(), signal.SIGTERM)
            await asked.wait()
            while saves.dirty:
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
        print(len(calls))
    asyncio.run(live())
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "1")
    assert kept(tmp_path / "s") == ["unsaved"]


def test_handlers_come_back_whatever_the_order_of_the_stops_and_are_only_set_in_the_main_thread(tmp_path: Path) -> None:
    script = """
    before = signal.getsignal(signal.SIGTERM)
    first, second = (AutoSave(state, Scout(name), **never).start() for name in "ab")
    assert signal.getsignal(signal.SIGTERM) is not before
    first.stop()
    assert signal.getsignal(signal.SIGTERM) is not before
    second.stop()
    assert signal.getsignal(signal.SIGTERM) is before
    def other():
        with AutoSave(state, Scout("c"), **never):
            assert signal.getsignal(signal.SIGTERM) is before
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    # One that somebody put in the place of ours stays.
    with AutoSave(state, Scout("d"), **never):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")


def test_sigterm_during_a_save_lets_it_come_to_its_end(tmp_path: Path) -> None:
    script = """
    saves = AutoSave(state, agent, message_count=1, interval_s=None).start()
    real = saves._saved.save
    def slow(taken):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        return real(taken)
    saves._saved.save = slow
    agent.say("unsaved")
    saves.notify()
    time.sleep(60)
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert kept(tmp_path / "s") == ["unsaved"]


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    script = """
    asked = threading.Event()
    class Hanging(Scout):
        def get_state(self):
            print("asked", flush=True)
            asked.set()
            threading.Event().wait()
    saves = AutoSave(state, Hanging(), lock=contextlib.nullcontext(), timeout_s=3600).start()
    saves.notify(100)
    asked.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr, done.stdout) == (-signal.SIGTERM, "", "asked\n")


def test_a_forked_child_saves_nothing_and_says_whose_it_is(tmp_path: Path) -> None:
    script = """
    before = signal.getsignal(signal.SIGTERM)
    saves = AutoSave(state, agent, **never).start()
    agent.say("parent")
    saves.notify()
    child = os.fork()
    if child == 0:
        agent.say("child")
        assert signal.getsignal(signal.SIGTERM) is before
        for call in (saves.notify, saves.save, saves.pause, saves.stop):
            try:
                call()
            except errors.Forked as error:
                assert error.code == "autosave.forked"
            else:
                os._exit(9)
        sys.exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    # Python forgets a signal that comes to a child before it has begun.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        time.sleep(60)
        os._exit(1)
    os.read(reading, 1)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    print(saves.stop())
    """
    done = lived(script, tmp_path / "s")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0
    assert kept(tmp_path / "s") == ["parent"]
