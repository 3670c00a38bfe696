"""LangGraph's stores. The part of a key before its last slash is the namespace."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from langgraph.store.base import BaseStore, PutOp
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite import SqliteStore

from rivals.contenders.protocol import Contender, Pairs, Setting


class Memory(Contender):
    """Keeps the object itself; a reader gets the same one."""

    name = "LangGraph InMemoryStore"
    survives = "none"
    words = "nothing"
    settings = "defaults; it keeps a reference to the value and packs nothing"
    lacks: ClassVar[dict[str, str]] = {"cas": "no compare-and-set", "open": "keeps nothing"}

    def __init__(self, folder: Path, setting: Setting) -> None:
        self._begin(InMemoryStore())

    def _begin(self, store: BaseStore) -> None:
        self._store = store
        put, fetch = store.put, store.get
        spaces: dict[str, tuple[str, ...]] = {}

        def space_of(space: str) -> tuple[str, ...]:
            return spaces.get(space) or spaces.setdefault(space, ("bench", *space.split("/")))

        def set(key: str, value: Any) -> None:
            space, _, name = key.rpartition("/")
            put(space_of(space), name, value)

        def get(key: str) -> Any:
            space, _, name = key.rpartition("/")
            return fetch(space_of(space), name).value

        self._spaces, self._space_of = spaces, space_of
        self.set, self.get = set, get  # type: ignore[method-assign]

    def close(self) -> None:
        self._spaces.clear()

    def batch(self, pairs: Pairs) -> None:
        ops = []
        for key, value in pairs:
            space, _, name = key.rpartition("/")
            ops.append(PutOp(self._space_of(space), name, value))
        self._store.batch(ops)

    def keys(self, prefix: str) -> list[str]:
        space = ("bench", *prefix.removesuffix("/").split("/"))
        found = self._store.search(space, limit=1_000_000)
        return sorted("/".join((*item.namespace[1:], item.key)) for item in found)


class Sqlite(Memory):
    """A table of JSON text."""

    name = "LangGraph SqliteStore"
    survives = "power"
    words = "power loss"
    settings = "SqliteStore.from_conn_string(path): SQLite's rollback journal with synchronous=FULL; values as JSON"
    lacks: ClassVar[dict[str, str]] = {"cas": "no compare-and-set"}

    def __init__(self, folder: Path, setting: Setting) -> None:
        folder.mkdir(exist_ok=True)
        self._open = ExitStack()
        store = self._open.enter_context(SqliteStore.from_conn_string(str(folder / "store.sqlite")))
        store.setup()
        self._begin(store)

    def close(self) -> None:
        super().close()
        self._open.close()
