"""The async twins: the same results, one sync for many writers, and nothing left behind by whoever stops waiting."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import ScopeHandle, StateClass, StateManager, StateScope, errors
from spellkeep._waiting import _Waiter

SCOUT = StateScope.agent("scout")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    with sk.open(tmp_path / "s", durability="sync", ring_bytes=65536, segment_bytes=65536) as opened:
        yield opened


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_") and callable(getattr(cls, name))}


def test_every_call_has_a_twin() -> None:
    sync_store = {name for name in public(StateManager) if "a" + name in public(StateManager)}
    # `scope` touches neither disk nor lock.
    assert public(StateManager) - sync_store - {"a" + name for name in sync_store} == {"scope"}
    sync_handle = {name for name in public(ScopeHandle) if "a" + name in public(ScopeHandle)}
    # Views: `aiter_items` is what an event loop wants.
    left = public(ScopeHandle) - sync_handle - {"a" + name for name in sync_handle}
    assert left == {"keys", "values", "items"}
    assert {name for name in public(sk.Batch) if "a" + name in public(sk.Batch)} == {"commit"}


@pytest.mark.parametrize("cls", [StateManager, ScopeHandle, sk.Batch])
def test_a_twin_takes_what_its_sync_call_takes(cls: type) -> None:
    for name in public(cls):
        if "a" + name in public(cls):
            sync, twin = (inspect.signature(getattr(cls, each)).parameters for each in (name, "a" + name))
            # `acknowledge` is how the twins ask for no wait.
            assert set(sync) - {"acknowledge"} == set(twin), name
            for parameter in set(twin) - {"self"}:
                assert sync[parameter].kind == twin[parameter].kind, (name, parameter)


@pytest.mark.parametrize("durability", ["process", "interval", "sync"])
def test_twins_give_what_the_sync_calls_give(tmp_path: Path, durability: Any) -> None:
    async def run(state: StateManager) -> None:
        assert await state.aset(SCOUT, "a", 1) == 1
        assert await state.aset(SCOUT, "a", 2, if_version=1, state_class=StateClass.TRUSTED) == 2
        with pytest.raises(errors.Conflict):
            await state.aset(SCOUT, "a", 3, if_version=1)
        assert (await state.aget(SCOUT, "a"), await state.aget(SCOUT, "b", 7)) == (2, 7)
        assert await state.aentry(SCOUT, "a") == state.entry(SCOUT, "a")
        assert (await state.aexists(SCOUT, "a"), await state.aexists(SCOUT, "b")) == (True, False)
        assert await state.alist_keys(SCOUT, "a") == ["a"]
        assert [item async for item in state.aitems(SCOUT)] == [("a", 2)]
        assert await state.alist_scopes() == [SCOUT]
        assert await state.ahistory(SCOUT, "a", limit=1) == state.history(SCOUT, "a", limit=1)
        assert await state.adelete(SCOUT, "b") == 0
        assert await state.adelete(SCOUT, "a", if_version=2) == 3
        async with state.abatch() as batch:
            batch.set(SCOUT, "c", 1)
            batch.set(SCOUT, "d", 1)
        assert batch.versions == [4, 5]
        with pytest.raises(ZeroDivisionError):
            async with state.abatch() as dropped:
                dropped.set(SCOUT, "e", 1)
                raise ZeroDivisionError
        assert await dropped.acommit() == 0
        assert await state.aclear_scope(SCOUT) == 2
        assert await state.aclear_scope(SCOUT) == 0
        assert [change async for change in state.achanges(since=1)] == list(state.changes(since=1))
        assert await state.aflush() == 6
        assert (await state.astats()).last_version == state.durable_version == 6
        await state.aclose()
        assert state.closed

    asyncio.run(run(sk.open(tmp_path / "s", durability=durability)))


def test_the_twins_of_a_handle_give_what_its_sync_calls_give(state: StateManager) -> None:
    async def run() -> None:
        handle = state.scope(SCOUT, state_class=StateClass.TRUSTED)
        assert await handle.aset("a", 1) == 1
        assert await handle.aset("a", 2, if_version=1, state_class=StateClass.STANDARD) == 2
        assert (await handle.aget("a"), await handle.aget("b", 7)) == (2, 7)
        assert (await handle.aentry("a")).state_class is StateClass.STANDARD
        assert await handle.aexists("a")
        assert await handle.alist_keys() == ["a"]
        assert [change.version for change in await handle.ahistory("a")] == [2, 1]
        assert await handle.asetdefault("a", 9) == 2
        assert await handle.asetdefault("b", 9) == 9
        await handle.aupdate({"c": 3}, d=4)
        assert handle.entry("c").state_class is StateClass.TRUSTED
        assert [item async for item in handle.aiter_items()] == [("a", 2), ("b", 9), ("c", 3), ("d", 4)]
        assert (await handle.apop("b"), await handle.apop("b", None)) == (9, None)
        with pytest.raises(KeyError):
            await handle.apop("b")
        assert await handle.apopitem() == ("a", 2)
        assert await handle.adelete("c") == 8
        await handle.aclear()
        with pytest.raises(KeyError):
            await handle.apopitem()
        assert state.durable_version == state.last_version == 9

    asyncio.run(run())


def test_a_write_is_durable_when_its_twin_returns(state: StateManager) -> None:
    async def run() -> None:
        for number in range(20):
            version = await state.aset(SCOUT, "a", number)
            assert state.durable_version >= version

    asyncio.run(run())


def test_many_tasks_share_few_syncs(state: StateManager) -> None:
    async def run() -> None:
        before = state.stats().sync_count
        versions = await asyncio.gather(*(state.aset(SCOUT, f"{number}", number) for number in range(200)))
        assert sorted(versions) == list(range(1, 201))
        assert state.durable_version == 200
        # How many depends on the disk; one each would mean that nobody shares.
        assert state.stats().sync_count - before < 200

    asyncio.run(run())


def test_the_loop_runs_on_while_writers_wait(state: StateManager) -> None:
    async def run() -> None:
        turns, done = 0, False

        async def spin() -> None:
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        spinning = asyncio.create_task(spin())
        await asyncio.gather(*(state.aset(SCOUT, f"{number}", number) for number in range(50)))
        done = True
        await spinning
        assert turns > 0

    asyncio.run(run())


def test_whoever_stops_waiting_leaves_the_write_and_the_other_waiters_alone(state: StateManager) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(state.aset(SCOUT, f"{number}", number)) for number in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        # A cancelled wait is a write whose durability nobody was told about; the write itself happened.
        assert all(isinstance(result, int | asyncio.CancelledError) for result in results)
        assert all(isinstance(result, int) for result in results[1::2])
        assert len(state.scope(SCOUT)) == 60
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                # It need not wait when the background was faster.
                while True:
                    await state.aset(SCOUT, "late", 1)
        assert await state.aflush() == state.last_version
        assert await state.aset(SCOUT, "after", 1) == state.durable_version

    asyncio.run(run())
    assert [change.version for change in state.changes()] == list(range(1, state.last_version + 1))


def test_event_loops_in_several_threads_each_get_their_answers(state: StateManager) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        async def run() -> None:
            for start in range(0, 60, 20):
                await asyncio.gather(*(state.aset(SCOUT, f"{name}-{start + n}", n) for n in range(20)))

        try:
            asyncio.run(run())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(state.scope(SCOUT)) == 240


def test_one_loop_after_the_other_may_use_a_store_and_nothing_is_left_open(state: StateManager) -> None:
    # The socket of the first loop was left to the garbage collector, which warned of it.
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def run(number: int) -> None:
        await asyncio.gather(*(state.aset(SCOUT, f"{n}", number) for n in range(5)))

    asyncio.run(run(0))
    gc.collect()
    before = descriptors()
    for number in range(20):
        asyncio.run(run(number))
    gc.collect()
    state.set(SCOUT, "wake", 1)
    assert descriptors() <= before + 1


def test_a_loop_that_is_closed_while_a_task_waits_harms_nobody(state: StateManager) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(state.aset(SCOUT, "a", 1))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    del loop, task
    gc.collect()
    assert state.set(SCOUT, "b", 2) == 2
    assert asyncio.run(state.aset(SCOUT, "c", 3)) == 3


def test_closing_answers_everyone_who_waits(state: StateManager) -> None:
    async def run() -> None:
        tasks = [asyncio.create_task(state.aset(SCOUT, f"{number}", number)) for number in range(50)]
        await asyncio.sleep(0)
        await state.aclose()
        async with asyncio.timeout(20):
            assert sorted(await asyncio.gather(*tasks)) == list(range(1, 51))
        with pytest.raises(errors.Closed):
            await state.aset(SCOUT, "late", 1)

    asyncio.run(run())


def test_a_loop_that_outlives_its_store_rests(tmp_path: Path) -> None:
    # The socket stayed registered and readable for ever: the loop ran at full speed until it ended.
    async def run() -> int:
        for name in ("closed", "dropped"):
            state = sk.open(tmp_path / name, durability="sync")
            await state.aset(SCOUT, "a", 1)
            if name == "closed":
                await state.aclose()
            del state
        gc.collect()
        turns = 0
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        select = selector.select

        def counted(timeout: float | None = None) -> Any:
            nonlocal turns
            turns += 1
            return select(timeout)

        selector.select = counted
        await asyncio.sleep(0.2)
        selector.select = select
        return turns

    assert asyncio.run(run()) < 20


def test_two_stores_on_one_loop_do_not_mix_their_waiters(tmp_path: Path) -> None:
    async def run() -> None:
        async with sk.open(tmp_path / "1", durability="sync") as one, sk.open(tmp_path / "2", durability="sync") as two:
            for number in range(10):
                await asyncio.gather(one.aset(SCOUT, "a", number), two.aset(SCOUT, "a", number))
            assert one.durable_version == two.durable_version == 10

    asyncio.run(run())


def test_a_disk_that_fills_up_is_an_error_of_the_write_and_never_of_what_was_acknowledged(tmp_path: Path) -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    code = """
        import asyncio, sys, spellkeep as sk
        scout = sk.StateScope.agent("scout")

        async def run():
            state = sk.open(sys.argv[1], durability="sync", ring_bytes=65536, segment_bytes=65536)
            acknowledged = []
            failed = []

            async def write(number):
                try:
                    acknowledged.append(await state.aset(scope, f"{number}", b"x" * 4000))
                except sk.errors.StateError as error:
                    failed.append(error)

            scope = scout
            for start in range(0, 400, 10):
                async with asyncio.timeout(60):
                    await asyncio.gather(*(write(start + n) for n in range(10)))
            assert acknowledged and failed, (len(acknowledged), len(failed))
            assert {error.code for error in failed} <= {"storage.full", "store.poisoned"}, failed
            assert len(await state.alist_keys(scout)) >= len(acknowledged)
            print(*acknowledged, flush=True)
            import os
            os._exit(0)

        asyncio.run(run())
    """
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(mount / "s")],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        subprocess.run(["mount", "-o", "remount,size=8m", str(mount)], check=True)
        with sk.open(mount / "s", ring_bytes=65536, segment_bytes=65536) as state:
            there = {change.version for change in state.changes()}
            assert {int(version) for version in done.stdout.split()} <= there
            state.set(SCOUT, "room again", 1)
        # The mapping of the ring lives as long as the object.
        del state
        gc.collect()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_cancelled_waiters_do_not_pile_up(state: StateManager) -> None:
    async def run() -> None:
        for _ in range(30):
            task = asyncio.create_task(state.aset(SCOUT, "a", 1))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await state.aflush()
        await asyncio.sleep(0)

    asyncio.run(run())
    assert state.durable_version == state.last_version == 30


def test_cancelled_waiters_do_not_pile_up_while_nothing_becomes_durable() -> None:
    class Stuck:
        """A store whose disk takes no sync just now."""

        durable_version = 0

        def _add_waker(self, fd: int) -> None:
            pass

        def _request_sync(self) -> None:
            pass

        def _check_poison(self) -> None:
            pass

    async def run() -> None:
        store: Any = Stuck()
        waiter = _Waiter(store, asyncio.get_running_loop())
        for version in range(1, 31):
            task = asyncio.create_task(waiter.wait(store, version))
            await asyncio.sleep(0)
            assert len(waiter._pending) == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
