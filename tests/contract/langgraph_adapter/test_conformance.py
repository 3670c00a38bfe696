"""LangGraph's conformance suite for checkpointers, with the async methods and with the sync ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from spellkeep.adapters.langgraph import SpellkeepSaver

CHECKS = 81


class _Sync(BaseCheckpointSaver[Any]):
    """The sync methods under the async names, so that the suite calls them."""

    def __init__(self, saver: SpellkeepSaver) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver

    async def aget_tuple(self, config: Any) -> Any:
        return self._saver.get_tuple(config)

    async def alist(self, config: Any, **more: Any) -> AsyncIterator[Any]:
        for found in self._saver.list(config, **more):
            yield found

    async def aput(self, *args: Any) -> Any:
        return self._saver.put(*args)

    async def aput_writes(self, *args: Any, **more: Any) -> None:
        self._saver.put_writes(*args, **more)

    async def adelete_thread(self, thread_id: str) -> None:
        self._saver.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Any) -> None:
        self._saver.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self._saver.copy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        self._saver.prune(thread_ids, strategy=strategy)


@pytest.mark.parametrize("face", [_Sync, None], ids=["sync", "async"])
@pytest.mark.parametrize("durability", ["interval", "sync"])
def test_every_check_of_the_suite_passes(face: Callable[[Any], Any] | None, durability: Any, tmp_path: Path) -> None:
    import spellkeep

    numbers = iter(range(100))

    @checkpointer_test(name="spellkeep")
    async def saver() -> AsyncIterator[Any]:
        async with spellkeep.open(tmp_path / str(next(numbers)), durability=durability) as state:
            ours = SpellkeepSaver(state)
            yield ours if face is None else face(ours)

    report = asyncio.run(validate(saver))
    failures = [failure for result in report.results.values() for failure in result.failures or []]
    assert failures == []
    assert [name for name, result in report.results.items() if not result.detected] == []
    assert sum(result.tests_passed for result in report.results.values()) == CHECKS
