"""A pytest plugin inside of LangGraph's test runs: which tests run, with which classes, and how each ended.

SWAP is ``stock`` or ``ours``, RESULTS the file for the outcomes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

OURS = os.environ["SWAP"] == "ours"
_SLOTS = {"sync_checkpointer": "sqlite", "async_checkpointer": "sqlite_aio"}
_outcomes: dict[str, str] = {}
_reasons: dict[str, str] = {}


@contextmanager
def _saver() -> Iterator[Any]:
    from spellkeep.adapters.langgraph import SpellkeepSaver

    # The tests keep objects of classes that they define on the spot, so the classes are allowed as they are met.
    with SpellkeepSaver.from_conn_string(":memory:", register_new=True) as saver:
        yield saver


@asynccontextmanager
async def _async_saver() -> AsyncIterator[Any]:
    from spellkeep.adapters.langgraph import SpellkeepSaver

    async with SpellkeepSaver.from_conn_string(":memory:", register_new=True) as saver:
        yield saver


def _stores() -> dict[str, Any]:
    """Our store under the names of the stock ones, with the calls of theirs that ours has no need of."""
    import spellkeep
    from spellkeep.adapters.langgraph import SpellkeepStore

    class Store(SpellkeepStore):
        @classmethod
        def from_conn_string(cls, conn_string: str, **options: Any) -> Any:
            # The tests make an empty file; ours takes a directory.
            return super().from_conn_string(conn_string + (".d" if Path(conn_string).is_file() else ""), **options)

        def sweep_ttl(self) -> int:
            return 0

        start_ttl_sweeper = stop_ttl_sweeper = sweep_ttl

    class AsyncStore(Store):
        async def setup(self) -> None:  # type: ignore[override]
            return None

        async def sweep_ttl(self) -> int:  # type: ignore[override]
            return 0

        start_ttl_sweeper = stop_ttl_sweeper = sweep_ttl  # type: ignore[assignment]

    class InMemory(SpellkeepStore):
        def __init__(self, **options: Any) -> None:
            super().__init__(spellkeep.open("memory:"), **options)

    return {"SqliteStore": Store, "AsyncSqliteStore": AsyncStore, "InMemoryStore": InMemory}


def _wanted(item: Any) -> bool:
    names = getattr(item, "fixturenames", ())
    params = item.callspec.params if hasattr(item, "callspec") else {}
    slots = [name for name in _SLOTS if name in params]
    if slots:
        return all(params[name] == _SLOTS[name] for name in slots)
    return "store" in item.fspath.basename or "ttl" in item.fspath.basename or bool({"store"} & set(names))


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Keep the tests of the SQLite slots and of stores, and put our classes where they find the stock ones."""
    wanted = [item for item in items if _wanted(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _wanted(item)])
    items[:] = wanted
    if not OURS:
        return
    conftest = sys.modules.get("tests.conftest")
    if hasattr(conftest, "_checkpointer_sqlite"):
        conftest._checkpointer_sqlite = _saver  # type: ignore[union-attr]
        conftest._checkpointer_sqlite_aio = _async_saver  # type: ignore[union-attr]
    for module in {item.module for item in wanted}:
        for name, store in _stores().items():
            if hasattr(module, name) and "checkpoint" in str(config.rootpath):
                setattr(module, name, store)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test ended; an error in setting up or tearing down counts."""
    if report.when == "call" or report.outcome != "passed":
        if _outcomes.get(report.nodeid) != "failed":
            _outcomes[report.nodeid] = report.outcome
        if report.outcome == "failed":
            _reasons[report.nodeid] = str(report.longrepr)[-1500:]


def pytest_sessionfinish(session: Any) -> None:
    """Write the outcomes down."""
    if not hasattr(session.config, "workerinput"):
        Path(os.environ["RESULTS"]).write_text(json.dumps({"outcomes": _outcomes, "reasons": _reasons}))
