"""Sessions: a beginning, an end, what is in between belongs together, and what never ended is seen."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import Change, StateManager, StateScope, errors
from spellkeep.hooks import HookContext, HookResult

ONE = StateScope.session("s-1")


@pytest.fixture
def state() -> Iterator[StateManager]:
    with sk.open("memory:") as opened:
        yield opened


def of_session(state: StateManager) -> list[Change]:
    return list(state.timeline(scope=ONE))


def test_a_session_is_events_and_what_is_in_it_belongs_together(state: StateManager) -> None:
    with state.session("s-1", actor="anna", tags=("web",), metadata={"from": "web"}) as session:
        assert (session.id, session.scope) == ("s-1", ONE)
        session.state["step"] = 1
        state.set(StateScope.GLOBAL, "other", 2)
    start, step, end = of_session(state)
    assert [each.key for each in (start, step, end)] == ["session.start", "step", "session.end"]
    assert start.version == session.version and start.value == {"metadata": {"from": "web"}}
    assert (end.value["outcome"], end.value["error"]) == ("ok", None) and 0 <= end.value["duration_s"] < 10
    other = state.history(StateScope.GLOBAL, "other")[-1]
    for change in (start, step, end, other):
        assert (change.correlation, change.actor, change.tags) == ("s-1", "anna", ("web",))
    assert [each.cause for each in (step, other, end)] == [start.version] * 3
    state.set(StateScope.GLOBAL, "after", 3)
    assert state.history(StateScope.GLOBAL, "after")[-1].correlation is None
    (info,) = state.sessions()
    assert (info.id, info.status, info.actor, info.correlation) == ("s-1", "ok", "anna", "s-1")
    assert info.metadata == {"from": "web"} and info.duration_s == end.value["duration_s"]
    assert info.ended_at is not None and info.started_at <= info.ended_at


def test_a_correlation_that_is_given_or_active_stays(state: StateManager) -> None:
    with sk.correlate("req-42", actor="anna"), state.session("s-1"):
        pass
    with sk.correlate("req-43"), state.session("s-1", correlation="own"):
        pass
    assert [(each.correlation, each.actor) for each in state.sessions("s-1")] == [("own", None), ("req-42", "anna")]
    with state.session() as session:
        assert len(session.id) == 32
    assert state.sessions(limit=1)[0].id == session.id


def test_what_the_block_raises_is_its_end_and_is_raised(state: StateManager) -> None:
    for error in (ValueError("secret"), KeyboardInterrupt()):
        with pytest.raises(type(error)), state.session("s-1"):
            raise error
        assert of_session(state)[-1].value["error"] == type(error).__name__
    assert [(each.status, each.error) for each in state.sessions()] == [
        ("failed", "KeyboardInterrupt"),
        ("failed", "ValueError"),
    ]
    assert sk.current_correlation() is None
    assert "secret" not in repr(state.sessions()) + repr([change.value for change in of_session(state)])


@pytest.mark.parametrize("durability", ["process", "sync"])
def test_on_an_event_loop_it_is_the_same(tmp_path: Path, durability: Any) -> None:
    async def one(state: StateManager, number: int) -> None:
        async with state.session(f"s-{number}") as session:
            await asyncio.sleep(0.001)
            await session.state.aset("step", number)
            if number == 3:
                raise ValueError

    async def main() -> None:
        async with sk.open(tmp_path / "s", durability=durability) as state:
            await asyncio.gather(*(one(state, number) for number in range(5)), return_exceptions=True)
            infos = await state.asessions()
            assert sorted((each.id, each.status) for each in infos) == [
                (f"s-{number}", "failed" if number == 3 else "ok") for number in range(5)
            ]
            for number in range(5):
                scope = StateScope.session(f"s-{number}")
                assert {change.correlation for change in state.timeline(scope=scope)} == {f"s-{number}"}
            if durability == "sync":
                assert state.durable_version == state.last_version

    asyncio.run(main())


def test_a_session_that_is_refused_does_not_begin(state: StateManager) -> None:
    @state.hooks.before("session_start", scope="session:*")
    def check(context: HookContext) -> HookResult | None:
        assert (context.operation, context.scope, context.correlation) == ("session_start", ONE, "s-1")
        return None if context.value.get("ticket") else HookResult.cancel("no ticket")

    with pytest.raises(errors.HookVeto, match="no ticket"), state.session("s-1"):
        pytest.fail("it began")
    assert (of_session(state), state.sessions(), sk.current_correlation()) == ([], [], None)
    with state.session("s-1", metadata={"ticket": 7}):
        pass
    assert len(of_session(state)) == 2


def test_hooks_make_other_metadata_of_it_and_see_the_end(state: StateManager) -> None:
    ends, told = list[Any](), list[Any]()
    state.hooks.before("session_start", name="region")(
        lambda context: HookResult.modify({**context.value, "region": "eu"})
    )
    state.hooks.before("session_end", name="ends")(lambda context: ends.append(context.value["outcome"]))
    state.hooks.after("session_start", "session_end", name="told")(
        lambda change: told.append((change.key, change.scope))
    )
    with state.session("s-1", metadata={"a": 1}):
        pass
    with pytest.raises(ZeroDivisionError), state.session("s-1"):
        raise ZeroDivisionError
    # Of the same type, and not about a session.
    state.events.emit("session.start")
    assert state.hooks.drain(60)
    assert [each.metadata for each in state.sessions()] == [{"region": "eu"}, {"a": 1, "region": "eu"}]
    assert ends == ["ok", "failed"]
    assert told == [("session.start", ONE), ("session.end", ONE)] * 2


def test_an_end_that_is_refused_is_not_recorded_and_the_session_stays_open(state: StateManager) -> None:
    state.hooks.before("session_end", name="no")(lambda context: HookResult.cancel("not yet"))
    with pytest.raises(errors.HookVeto, match="not yet"), state.session("s-1"):
        pass
    assert sk.current_correlation() is None
    with pytest.raises(ValueError, match="of the block") as caught, state.session("s-1"):
        raise ValueError("of the block")
    assert "not yet" in caught.value.__notes__[0]
    assert [each.status for each in state.sessions()] == ["open", "open"]
    assert [change.key for change in of_session(state)] == ["session.start"] * 2
    state.hooks.disable("no")
    # What has happened cannot be changed by a hook.
    state.hooks.before("session_end", name="other")(lambda context: HookResult.modify({}))
    with pytest.raises(errors.HookVeto) as vetoed, state.session("s-1"):
        pass
    assert vetoed.value.code == "hook.failed"


def test_one_whose_process_was_killed_is_seen_as_lost(tmp_path: Path) -> None:
    code = """
        import os, signal, sys, spellkeep as sk
        state = sk.open(sys.argv[1])
        with state.session("s-0"):
            pass
        state.session("s-1", metadata={"a": 1}).__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "s")], check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    with sk.open(tmp_path / "s", read_only=True) as looked:
        assert [(each.id, each.status) for each in looked.sessions()] == [("s-1", "open"), ("s-0", "ok")]
    with sk.open(tmp_path / "s") as state:
        (lost,) = state.sessions(status="lost")
        assert (lost.id, lost.ended_at, lost.metadata) == ("s-1", None, {"a": 1})
        with state.session("s-1"):
            assert [each.status for each in state.sessions("s-1")] == ["open", "lost"]
        assert [each.id for each in state.sessions(status="ok")] == ["s-1", "s-0"]


def test_a_session_that_cannot_begin_leaves_nothing(state: StateManager, tmp_path: Path) -> None:
    with pytest.raises(errors.NotSerializable), state.session("s-1", metadata={"a": object()}):
        pytest.fail("it began")
    with pytest.raises(errors.InvalidKey):
        state.session("")
    session = state.session("s-1")
    with session:
        pass
    with pytest.raises(RuntimeError, match="has begun"), session:
        pytest.fail("it began again")
    assert len(state.sessions()) == 1
    sk.open(tmp_path / "s").close()
    with sk.open(tmp_path / "s", read_only=True) as looked, pytest.raises(errors.ReadOnly), looked.session("s-1"):
        pytest.fail("it began")


def test_ended_sessions_are_known_for_a_time_and_open_ones_for_ever(state: StateManager) -> None:
    session = state.session("open")
    session.__enter__()
    with state.session("ended"):
        pass
    scope = StateScope.custom("spellkeep.sessions")
    ends = {state.get(scope, key)["id"]: state.entry(scope, key).expires_at for key in state.list_keys(scope)}
    assert ends["open"] is None
    ended_at = state.sessions("ended")[0].ended_at
    assert ends["ended"] is not None and ended_at is not None
    assert 89 <= (ends["ended"] - ended_at).days <= 90
    session.__exit__(None, None, None)


def test_one_that_is_cancelled_while_it_begins_ends_with_that(tmp_path: Path) -> None:
    # It stayed open, and its correlation went on in the task.
    async def main() -> None:
        # Nothing is synced before somebody waits for it.
        async with sk.open(tmp_path / "s", durability="sync", interval_ms=60_000) as state:

            async def work(name: str) -> sk.Correlation | None:
                try:
                    async with state.session(name):
                        entered.add(name)
                except asyncio.CancelledError:
                    pass
                return sk.current_correlation()

            entered: set[str] = set()
            # One whose first record is durable before the loop asks has nothing to wait for, and is entered.
            for name in (f"s-{at}" for at in range(1000)):
                task = asyncio.create_task(work(name))
                await asyncio.sleep(0)
                task.cancel()
                assert await task is None
                if name not in entered:
                    break
            assert [(each.status, each.error) for each in state.sessions(name)] == [("failed", "CancelledError")]
            records = state.timeline(scope=StateScope.session(name))
            assert [each.key for each in records] == ["session.start", "session.end"]

    asyncio.run(main())


def test_it_ends_once(state: StateManager) -> None:
    # The log had a second end.
    session = state.session("s-1")
    with pytest.raises(RuntimeError, match="not begun"):
        session.__exit__(None, None, None)
    with session:
        pass
    with pytest.raises(RuntimeError, match="ended already"):
        session.__exit__(None, None, None)
    assert [each.key for each in of_session(state)] == ["session.start", "session.end"]


def test_it_may_end_in_another_context_than_it_began_in(state: StateManager) -> None:
    # As a generator that a framework runs in threads does. It raised ValueError, and stayed open.
    session = state.session("s-1", actor="anna")
    contextvars.copy_context().run(session.__enter__)
    with sk.correlate("other", actor="bob", tags=("x",)) as outer:
        session.__exit__(None, None, None)
        assert sk.current_correlation() == outer
    start, end = of_session(state)
    assert (end.correlation, end.actor, end.tags, end.cause) == ("s-1", "anna", (), start.version)
    assert [each.status for each in state.sessions()] == ["ok"]


def test_who_lists_them_while_they_begin_and_end_finds_none_that_is_lost(
    state: StateManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = list[str]()
    write, emit = StateManager._set_unacknowledged, type(state.events)._emit

    def watched(self: StateManager, *args: Any, **how: Any) -> int:
        version = write(self, *args, **how)
        listed.extend(each.status for each in self.sessions())
        return version

    def watched_emit(self: Any, *args: Any) -> int:
        listed.extend(each.status for each in state.sessions())
        return emit(self, *args)

    monkeypatch.setattr(StateManager, "_set_unacknowledged", watched)
    monkeypatch.setattr(type(state.events), "_emit", watched_emit)
    with state.session("s-1"):
        pass
    assert listed == ["open", "open", "open", "ok"]


def test_what_is_no_status_and_no_tags_is_refused(state: StateManager) -> None:
    with pytest.raises(ValueError, match="status="):
        state.sessions(status="over")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tags"), state.session("s-1", tags="web"):
        pytest.fail("it began")
    assert state.sessions() == []
