"""What a user of the store counts on; LangGraph's own tests of stores run in `make langgraph-suite`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.store.base import GetOp, InvalidNamespaceError, PutOp, SearchOp

import spellkeep
from contract.langgraph_adapter.graphs import chat, config, say
from spellkeep.adapters.langgraph import SpellkeepSaver, SpellkeepStore
from spellkeep.errors import NotSerializable

STRANGE = [
    "a",
    "a/b",
    "=",
    "==b",
    "~",
    "%",
    "%2F",
    "é",
    "e\u0301",
    "\u0338x",
    "..",
    "a..b",
    "x" * 300,
    "\n",
    "\ud800",
    "A",
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpellkeepStore]:
    with SpellkeepStore.from_conn_string(str(tmp_path / "state")) as made:
        yield made


def found(store: SpellkeepStore, prefix: tuple[str, ...], **options: Any) -> list[str]:
    return [item.key for item in store.search(prefix, **options)]


def test_an_item_is_there_after_a_restart_with_its_times(tmp_path: Path) -> None:
    with SpellkeepStore.from_conn_string(str(tmp_path / "state")) as store:
        store.put(("users", "ada"), "likes", {"drink": "tea", "since": 1843})
        store.put(("users", "ada"), "likes", {"drink": "coffee"})
        before = store.get(("users", "ada"), "likes")
    with SpellkeepStore.from_conn_string(str(tmp_path / "state")) as store:
        after = store.get(("users", "ada"), "likes")
        assert after == before and after is not None
        assert after.value == {"drink": "coffee"} and after.created_at < after.updated_at
        store.delete(("users", "ada"), "likes")
        assert store.get(("users", "ada"), "likes") is None


def test_a_namespace_is_no_beginning_of_a_longer_name(store: SpellkeepStore) -> None:
    store.put(("acme",), "a", {"of": "acme"})
    store.put(("acme", "sub"), "b", {"of": "acme"})
    store.put(("acme-corp",), "c", {"of": "acme-corp"})
    store.put(("acm",), "d", {"of": "acm"})
    assert sorted(found(store, ("acme",))) == ["a", "b"]
    assert found(store, ("acme-corp",)) == ["c"]
    assert store.list_namespaces(prefix=("acme",)) == [("acme",), ("acme", "sub")]


def test_strange_labels_and_keys_are_kept_apart(store: SpellkeepStore) -> None:
    names = [(label, key) for label in STRANGE if "." not in label for key in ["", *STRANGE]]
    for label, key in names:
        store.put((label, "x"), key, {"name": [label, key]})
    for label, key in names:
        item = store.get((label, "x"), key)
        assert item is not None and item.value == {"name": [label, key]}
        assert (item.namespace, item.key) == ((label, "x"), key)
    assert sorted(store.list_namespaces()) == sorted({(label, "x") for label, _ in names})
    for label, _ in names:
        items = store.search((label,), limit=1_000)
        assert sorted(item.key for item in items) == sorted(["", *STRANGE])
        assert {item.namespace for item in items} == {(label, "x")}


def test_filters_compare_numbers_with_numbers_and_texts_with_texts(store: SpellkeepStore) -> None:
    for number, color in ((1, "red"), (2.5, "blue"), (3, "red")):
        store.put(("things",), color + str(number), {"number": number, "color": color, "deep": {"n": number}})
    store.put(("things",), "none", {"color": "x", "number": "2"})
    assert found(store, ("things",), filter={"color": "red"}) == ["red3", "red1"]
    assert found(store, ("things",), filter={"number": {"$gt": 1}}) == ["red3", "blue2.5"]
    assert found(store, ("things",), filter={"number": {"$gte": 1, "$lt": 3}}) == ["blue2.5", "red1"]
    assert found(store, ("things",), filter={"number": {"$lte": 2.5}, "color": {"$ne": "red"}}) == ["blue2.5"]
    assert found(store, ("things",), filter={"color": {"$gt": "blue", "$lt": "s"}}) == ["red3", "red1"]
    assert found(store, ("things",), filter={"deep": {"n": {"$eq": 3}}}) == ["red3"]
    assert found(store, ("things",), filter={"deep.n": {"$eq": 3}}) == ["red3"]
    assert found(store, ("things",), filter={"missing": {"$gt": 0}}) == []
    assert found(store, ("things",), limit=2, offset=1) == ["red3", "blue2.5"]
    with pytest.raises(ValueError, match=r"\$near"):
        store.search(("things",), filter={"number": {"$near": 1}})


def _left_after(path: Path, ttl_s: float) -> tuple[list[str], bool, float]:
    """What is left once what nobody prolongs is over, whether reads found the others, and the longest time between."""
    with SpellkeepStore.from_conn_string(str(path), ttl={"default_ttl": ttl_s / 60}) as store:
        last = time.monotonic()
        for key in ("read", "searched", "looked at", "left"):
            store.put(("cache", key), key, {"x": 1})
        store.put(("cache", "kept"), "kept", {"x": 1}, ttl=None)
        there, longest_s, end = True, 0.0, last + 1.5 * ttl_s
        while last < end:
            there &= store.get(("cache", "read"), "read") is not None
            there &= found(store, ("cache", "searched")) == ["searched"]
            store.get(("cache", "looked at"), "looked at", refresh_ttl=False)
            time.sleep(ttl_s / 20)
            now = time.monotonic()
            last, longest_s = now, max(longest_s, now - last)
        left = sorted(found(store, ("cache",)))
        assert ("cache", "left") not in store.list_namespaces()
        return left, there, max(longest_s, time.monotonic() - last)


def test_an_expired_item_is_gone_and_a_read_prolongs(tmp_path: Path) -> None:
    # Where the machine stood still for longer than the items live, they are over: then again, with a longer life.
    for ttl_s in (0.4, 2.0, 10.0):
        left, there, longest_s = _left_after(tmp_path / str(ttl_s), ttl_s)
        if longest_s < ttl_s:
            break
    assert (left, there) == (["kept", "read", "searched"], True)


def test_a_refresh_changes_no_time_and_no_value(store: SpellkeepStore) -> None:
    store.put(("cache",), "a", {"x": [1, (2,)]}, ttl=1)
    first, second = (store.get(("cache",), "a") for _ in range(2))
    assert first == second and first is not None and first.value == {"x": [1, (2,)]}


def test_a_batch_is_all_or_nothing(store: SpellkeepStore) -> None:
    with pytest.raises(NotSerializable):
        store.batch([PutOp(("a",), "good", {"x": 1}), PutOp(("a",), "bad", {"x": object()})])
    assert found(store, ("a",)) == []
    ops: list[Any] = [PutOp(("a",), "k", {"x": 1}), GetOp(("a",), "k"), PutOp(("a",), "k", {"x": 2}), SearchOp(("a",))]
    assert store.batch(ops) == [None, None, None, []]
    item = store.get(("a",), "k")
    assert item is not None and item.value == {"x": 2}


def test_the_async_methods_do_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        state = spellkeep.open(tmp_path / "state", durability="sync")
        async with state:
            store = SpellkeepStore(state)
            await store.aput(("a", "b"), "k", {"x": 1})
            item = await store.aget(("a", "b"), "k")
            assert item is not None and item.value == {"x": 1}
            assert [each.key for each in await store.asearch(("a",))] == ["k"]
            assert await store.alist_namespaces(max_depth=1) == [("a",)]
            await store.adelete(("a", "b"), "k")
            assert await store.aget(("a", "b"), "k") is None

    asyncio.run(run())


def test_vector_search_is_refused_in_words(store: SpellkeepStore) -> None:
    with pytest.raises(NotImplementedError, match="by meaning"):
        store.search(("a",), query="something like it")
    with pytest.raises(NotImplementedError, match="by meaning"):
        SpellkeepStore(store.state, index={"dims": 3})


def test_labels_that_langgraph_refuses_are_refused_in_a_batch_too(store: SpellkeepStore) -> None:
    with pytest.raises(InvalidNamespaceError):
        store.batch([PutOp(("a.b",), "k", {"x": 1})])


def test_store_and_saver_share_one_state_and_names_keep_stores_apart(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path / "state") as state:
        saver, store, other = SpellkeepSaver(state), SpellkeepStore(state), SpellkeepStore(state, name="other")
        say(chat(saver), "hello")
        store.put(("a",), "k", {"x": 1})
        assert other.get(("a",), "k") is None and found(store, ()) == ["k"]
        saver.delete_thread("t")
        assert saver.get_tuple(config()) is None and found(store, ()) == ["k"]
