"""Threads written anew, by prune, copy_thread and delete_for_runs: in several batches, and all of it or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage

from contract.langgraph_adapter.graphs import chat, config, say
from spellkeep import StateManager
from spellkeep.adapters.langgraph import SpellkeepSaver, core, keys
from spellkeep.adapters.langgraph.core import Core, Write

TURNS = 6


def answer(state: Any) -> Any:
    return {"messages": [AIMessage(f"answer {len(state['messages'])} " + "x" * 300)]}


def filled(saver: SpellkeepSaver) -> None:
    for turn in range(TURNS):
        run: Any = config("t", run_id="odd" if turn % 2 else "even")
        chat(saver, answer).invoke({"messages": [("user", f"question {turn} " + "y" * 300)]}, run)
    say(chat(saver), "other", "u")


def seen(saver: SpellkeepSaver, thread_id: str = "t") -> list[Any]:
    return [
        (found.config, found.checkpoint, found.metadata, found.parent_config, found.pending_writes)
        for found in saver.list(config(thread_id))
    ]


WORK: dict[str, Callable[[SpellkeepSaver], None]] = {
    "prune": lambda saver: saver.prune(["t"]),
    "copy": lambda saver: saver.copy_thread("t", "new"),
    "copy behind": lambda saver: saver.copy_thread("t", "u"),
    "runs": lambda saver: saver.delete_for_runs(["odd"]),
}


def history(saver: SpellkeepSaver) -> list[Any]:
    return [seen(saver, thread_id) for thread_id in ("t", "u", "new")]


class Died(Exception):
    """Where a process would have ended."""


def dying(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Nothing is written from the write of this number on; how many there were."""
    count = 0

    def counted(of: Any, name: str) -> None:
        call = getattr(of, name)

        def counting(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count > at:
                raise Died
            return call(*arguments)

        monkeypatch.setattr(of, name, counting)

    for of, name in ((Write, "commit"), (Core, "new_scope"), (Core, "give_scope"), (StateManager, "clear_scope")):
        counted(of, name)
    return lambda: count


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_several_batches_do_what_one_does(
    work: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "filled")) as saver:
        filled(saver)
    found = []
    for size in (core.LONG_COUNT, 1, 3):
        monkeypatch.setattr(core, "LONG_COUNT", size)
        path = shutil.copytree(tmp_path / "filled", tmp_path / str(size))
        with SpellkeepSaver.from_conn_string(str(path)) as saver:
            before = history(saver)
            work(saver)
            found.append(history(saver))
            saver._checkpoints.core._threads.clear()
            assert history(saver) == found[-1] != before
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_a_kill_between_any_two_batches_leaves_the_thread_as_it_was_or_as_it_is_to_be(
    work: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "LONG_COUNT", 5)
    outcomes = []
    for at in range(100):
        path = str(tmp_path / str(at))
        with SpellkeepSaver.from_conn_string(path) as saver:
            filled(saver)
            before = history(saver)
            with monkeypatch.context() as patched:
                died = dying(patched, at)
                try:
                    work(saver)
                except Died:
                    pass
                else:
                    assert died() == at
        with SpellkeepSaver.from_conn_string(path) as saver:
            first = history(saver)
            work(saver)
            after = history(saver)
            assert first in (before, after)
            outcomes.append(first == after)
            scopes = {scope: len(saver.state.list_keys(scope)) for scope in map(keys.thread_scope, range(20))}
            threads = len(saver._checkpoints.core.thread_ids())
            assert sum(map(bool, scopes.values())) == threads
            assert not saver.state.list_keys(keys.SHARED_SCOPE, "m")
            assert say(chat(saver), "and on")[-1].startswith("answer")
        if died() == at:
            break
    assert outcomes == sorted(outcomes)
    assert len(outcomes) >= 5
    assert not outcomes[0]
    assert outcomes[-1]
