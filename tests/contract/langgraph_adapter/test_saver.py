"""What a user of the saver counts on, beyond the conformance suite."""

from __future__ import annotations

import asyncio
from collections import ChainMap, UserDict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

import spellkeep
from contract.langgraph_adapter.graphs import answer, chat, config, say, texts
from spellkeep.adapters.langgraph import SpellkeepSaver
from spellkeep.adapters.langgraph.core import core_of
from spellkeep.errors import Conflict, LimitExceeded, NotSerializable
from spellkeep.value import register


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SpellkeepSaver]:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as made:
        yield made


def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    for turn in range(3):
        with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
            said = say(chat(saver), f"question {turn}")
            assert said == [text for each in range(turn + 1) for text in (f"question {each}", f"answer {2 * each + 1}")]


def test_the_history_is_that_of_langgraphs_own_saver(saver: SpellkeepSaver) -> None:
    theirs = InMemorySaver()
    for each in (saver, theirs):
        graph = chat(each)
        for turn in range(5):
            say(graph, f"question {turn}")
    ours_graph, their_graph = chat(saver), chat(theirs)
    ours, other = (list(graph.get_state_history(config())) for graph in (ours_graph, their_graph))
    assert len(ours) == len(other) == 15
    for mine, expected in zip(ours, other, strict=True):
        assert texts(mine.values or {"messages": []}) == texts(expected.values or {"messages": []})
        assert (mine.next, mine.metadata) == (expected.next, expected.metadata)
        assert (mine.parent_config is None) == (expected.parent_config is None)


def test_the_metadata_of_a_runs_config_is_kept_as_langgraphs_own_saver_keeps_it(saver: SpellkeepSaver) -> None:
    kept = []
    for each in (saver, InMemorySaver()):
        place: Any = config(checkpoint_ns="")
        place["configurable"].update({"tier": 2, "more": [1], "__own": "x"})
        place["metadata"] = ChainMap({"tenant": "a", "thread_id": "u"}, {"tenant": "b", "version": "1\0"})
        each.put(place, _checkpoint("0001", ["x"]), {"step": 0}, {"items": 1})
        kept.append([found.metadata for found in each.list(config())])
    assert kept[0] == kept[1] == [{"step": 0, "tenant": "a", "version": "1", "tier": 2}]


class Noted:
    """Encoding one runs what a test asks for."""

    runs: Any = None


def _noted(noted: Noted) -> int:
    run, Noted.runs = Noted.runs, None
    if run is not None:
        run()
    return 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_put_from_an_encode_function_that_fails_gives_no_name_its_number(saver: SpellkeepSaver, fails: bool) -> None:
    register(Noted, encode=_noted, decode=lambda payload, version: Noted())
    place = saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["x"]), {}, {"items": 1})
    failures: list[Exception] = []

    def put() -> None:
        checkpoint = _checkpoint("0002", ["y"])
        # The first name has its number when the second is found to have no version that can be kept.
        checkpoint["channel_versions"].update({"another channel": 1, "one more": object() if fails else 1})
        try:
            saver.put(config("another", checkpoint_ns=""), checkpoint, {}, {"items": 1})
        except NotSerializable as failure:
            # With it the batch stays that was never committed.
            failures.append(failure)

    Noted.runs = put
    saver.put_writes(place, [("a new channel", Noted())], "task")
    assert len(failures) == fails
    core_of(saver._state).forget_all()
    core_of(saver._state).read_names()
    [(_, channel, _)] = saver.get_tuple(config()).pending_writes  # type: ignore[union-attr,misc]
    assert channel == "a new channel"


def test_what_a_caller_gives_may_be_of_other_classes(saver: SpellkeepSaver) -> None:
    checkpoint = _checkpoint("0001", ["x"])
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    checkpoint.update({"ts": moment, "versions_seen": MappingProxyType({"node": UserDict({"items": 1})})})
    place: Any = config(checkpoint_ns="")
    place["metadata"] = ""
    saver.put(place, checkpoint, UserDict({"step": 1}), {"items": 1})  # type: ignore[arg-type]
    core_of(saver._state).forget_all()
    found: Any = saver.get_tuple(config())
    assert (found.checkpoint["ts"], found.checkpoint["versions_seen"]) == (moment, {"node": {"items": 1}})
    assert found.metadata == {"step": 1}


def test_a_message_that_contains_itself_is_an_error(saver: SpellkeepSaver) -> None:
    message: Any = HumanMessage("x" * 500)
    message.content = message
    for value in (message, {"messages": [message]}, [message]):
        checkpoint = _checkpoint("0001", [])
        checkpoint["channel_values"] = {"items": value}
        with pytest.raises((LimitExceeded, NotSerializable)):
            saver.put(config(checkpoint_ns=""), checkpoint, {}, {"items": 1})
    assert saver.get_tuple(config()) is None


def test_the_history_is_the_same_after_a_restart(tmp_path: Path) -> None:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        graph = chat(saver)
        for turn in range(40):
            say(graph, f"question {turn} " + "long " * 50)
        before = list(saver.list(config()))
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        assert list(saver.list(config())) == before
        assert len(before) == 120


def test_what_a_checkpoint_has_no_more_is_not_there_after_a_restart_either(tmp_path: Path) -> None:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        place = config(checkpoint_ns="")
        for number, left in enumerate(["abcd", "ad", "bd", ""]):
            versions = dict.fromkeys(left, number + 1)
            checkpoint = _checkpoint(f"{number:04}", [])
            checkpoint["channel_values"] = {channel: [channel] if channel < "c" else channel for channel in left}
            checkpoint["channel_versions"] = versions
            checkpoint["versions_seen"] = {f"node {channel}": dict(versions) for channel in left}
            metadata: Any = {"step": number, **{f"more {channel}": [channel] for channel in left}}
            place = saver.put(place, checkpoint, metadata, versions)
        before = list(saver.list(config()))
        assert [list(found.checkpoint["channel_values"]) for found in before] == [[], ["b", "d"], ["a", "d"], [*"abcd"]]
        nodes = [[node[-1] for node in sorted(found.checkpoint["versions_seen"])] for found in before]
        assert nodes == [[], ["b", "d"], ["a", "d"], [*"abcd"]]
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        assert list(saver.list(config())) == before


def test_a_run_from_an_earlier_checkpoint_makes_a_branch_and_both_are_kept(saver: SpellkeepSaver) -> None:
    graph = chat(saver)
    say(graph, "first")
    fork = graph.get_state(config()).config
    say(graph, "left")
    branch = graph.invoke({"messages": [HumanMessage("right")]}, fork)
    assert texts(branch) == ["first", "answer 1", "right", "answer 3"]
    assert texts(graph.get_state(config()).values) == texts(branch)
    kept = [texts(state.values or {"messages": []}) for state in graph.get_state_history(config())]
    assert ["first", "answer 1", "left", "answer 3"] in kept
    assert ["first", "answer 1", "right", "answer 3"] in kept


def test_two_writers_from_one_parent_are_both_listed(saver: SpellkeepSaver) -> None:
    first = saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["root"]), {"step": 0}, {"items": 1})
    for id in ("0002", "0003"):
        saver.put(first, _checkpoint(id, ["root", id]), {"step": 1}, {"items": 2})
    children = [found for found in saver.list(config()) if found.parent_config == first]
    assert [found.checkpoint["channel_values"]["items"] for found in children] == [["root", "0003"], ["root", "0002"]]


def test_a_put_after_delete_thread_does_not_bring_the_thread_back(saver: SpellkeepSaver) -> None:
    first = saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["x"]), {"step": 0}, {"items": 1})
    saver.delete_thread("t")
    with pytest.raises(Conflict) as caught:
        saver.put(first, _checkpoint("0002", ["x", "y"]), {"step": 1}, {"items": 2})
    assert caught.value.code == "langgraph.thread_deleted"
    saver.put_writes(first, [("items", "late")], "task")
    assert saver.get_tuple(config()) is None
    assert list(saver.list(config())) == []
    assert [scope.ids for scope in saver.state.list_scopes()] == [("lg",)]


def test_a_run_that_goes_on_while_its_thread_is_deleted_fails_and_leaves_nothing(saver: SpellkeepSaver) -> None:
    def node(state: Any) -> Any:
        saver.delete_thread("t")
        return answer(state)

    say(chat(saver), "before")
    with pytest.raises(Conflict):
        say(chat(saver, node), "during")
    assert saver.get_tuple(config()) is None
    assert say(chat(saver), "anew") == ["anew", "answer 1"]


def test_what_is_kept_of_a_deleted_thread_goes_with_time(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path / "state") as state:
        saver = SpellkeepSaver(state, late_s=0.01)
        say(chat(saver), "hello")
        saver.delete_thread("t")
        shared = spellkeep.StateScope.custom("lg")
        deadline = 3000
        while state.list_keys(shared, "d") and deadline:
            asyncio.run(asyncio.sleep(0.01))
            deadline -= 1
        assert state.list_keys(shared, "d") == []


def test_writes_that_come_before_their_checkpoint_are_stored_with_it(tmp_path: Path) -> None:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        target = config(checkpoint_ns="", checkpoint_id="0001")
        saver.put_writes(target, [("items", "early")], "task")
        assert saver.get_tuple(target) is None
        saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["x"]), {"step": 0}, {"items": 1})
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        found = saver.get_tuple(target)
        assert found is not None and found.pending_writes == [("task", "items", "early")]


def test_a_checkpoint_that_is_put_again_keeps_its_place_and_its_children_theirs(saver: SpellkeepSaver) -> None:
    long = "text " * 100
    first = saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["a", long]), {"step": 0}, {"items": 1})
    second = saver.put(first, _checkpoint("0002", ["a", long, "b"]), {"step": 1, "mark": "x"}, {"items": 2})
    saver.put(config(checkpoint_ns=""), _checkpoint("0001", ["new"]), {"step": 9}, {"items": 1})
    assert [found.checkpoint["id"] for found in saver.list(config())] == ["0002", "0001"]
    child, parent = saver.get_tuple(second), saver.get_tuple(first)
    assert child is not None and child.checkpoint["channel_values"] == {"items": ["a", long, "b"]}
    assert child.metadata == {"step": 1, "mark": "x"}
    assert parent is not None and parent.checkpoint["channel_values"] == {"items": ["new"]}


def test_strange_thread_ids_are_kept_apart(saver: SpellkeepSaver) -> None:
    ids = ["", "a", "a/b", "a:b", "..", "é", "e\u0301", "x" * 400, "x" * 401, "\ud800", "%61", "a\n", "A"]
    for id in ids:
        saver.put(config(id, checkpoint_ns=""), _checkpoint("0001", [id]), {"step": 0}, {"items": 1})
    for id in ids:
        found = saver.get_tuple(config(id))
        assert found is not None and found.checkpoint["channel_values"] == {"items": [id]}
    listed = {found.config["configurable"]["thread_id"] for found in saver.list(None)}
    assert listed == set(ids)


def test_strange_namespaces_and_ids_are_kept_apart(tmp_path: Path) -> None:
    names = ["a", "a.b", "a|b:1", "..", "x" * 400, "é"]
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        for ns in ["", *names]:
            for id in names:
                saver.put(config(checkpoint_ns=ns), _checkpoint(id, [ns, id]), {"step": 0}, {"items": 1})
                saver.put_writes(config(checkpoint_ns=ns, checkpoint_id=id), [("items", ns + id)], "task " + id)
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        for ns in ["", *names]:
            for id in names:
                found = saver.get_tuple(config(checkpoint_ns=ns, checkpoint_id=id))
                assert found is not None and found.checkpoint["channel_values"] == {"items": [ns, id]}
                assert found.pending_writes == [("task " + id, "items", ns + id)]


def test_a_checkpoint_larger_than_a_value_is_kept_in_several_records(tmp_path: Path) -> None:
    items = [f"{number} " + "x" * 1_000_000 for number in range(40)]
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        first = saver.put(config(checkpoint_ns=""), _checkpoint("0001", items), {"step": 0}, {"items": 1})
        saver.put_writes(first, [("items", [item + "w" for item in items])], "task")
        with pytest.raises(LimitExceeded):
            saver.put(first, _checkpoint("0002", ["x" * (17 << 20)]), {"step": 1}, {"items": 2})
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        found = saver.get_tuple(first)
        assert found is not None and found.checkpoint["channel_values"] == {"items": items}
        assert found.pending_writes == [("task", "items", [item + "w" for item in items])]


def test_two_savers_of_one_store_see_each_other(tmp_path: Path) -> None:
    with spellkeep.open(tmp_path / "state") as state:
        one, other = SpellkeepSaver(state), SpellkeepSaver(state)
        say(chat(one), "to one")
        assert say(chat(other), "to the other") == ["to one", "answer 1", "to the other", "answer 3"]
        assert say(chat(one), "again")[:2] == ["to one", "answer 1"]


def test_async_runs_share_the_store_with_sync_ones(saver: SpellkeepSaver) -> None:
    async def both() -> Any:
        graph = chat(saver)
        runs = (
            graph.ainvoke({"messages": [HumanMessage(f"to {thread}")]}, config(str(thread))) for thread in range(10)
        )
        return await asyncio.gather(*runs)

    assert [texts(values) for values in asyncio.run(both())] == [[f"to {thread}", "answer 1"] for thread in range(10)]
    assert say(chat(saver), "more", "3") == ["to 3", "answer 1", "more", "answer 3"]


def test_a_memory_saver_needs_no_files() -> None:
    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        assert say(chat(saver), "hello") == ["hello", "answer 1"]


def test_a_read_only_store_can_be_looked_at(tmp_path: Path) -> None:
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        say(chat(saver), "hello")
    with spellkeep.open(tmp_path / "state", read_only=True) as state:
        found = SpellkeepSaver(state).get_tuple(config())
        assert found is not None and texts(found.checkpoint["channel_values"]) == ["hello", "answer 1"]


def test_pruning_keeps_what_a_delta_channel_is_rebuilt_from(saver: SpellkeepSaver) -> None:
    counters = {"counters_since_delta_snapshot": {"log": (1, 1)}}
    parent = config(checkpoint_ns="")
    for step in range(4):
        checkpoint = _checkpoint(f"000{step}", ["x"])
        if step == 1:
            checkpoint["channel_values"]["log"] = ["seed"]
        parent = saver.put(parent, checkpoint, {"step": step, **(counters if step else {})}, {"items": step})
        saver.put_writes(parent, [("log", f"write {step}")], f"task {step}")
    before = saver.get_delta_channel_history(config=parent, channels=["log"])
    saver.prune(["t"])
    assert [found.checkpoint["id"] for found in saver.list(config())] == ["0003", "0002", "0001"]
    assert saver.get_delta_channel_history(config=parent, channels=["log"]) == before
    assert before["log"]["seed"] == ["seed"] and len(before["log"]["writes"]) == 2


def test_what_is_left_after_delete_for_runs_is_whole(tmp_path: Path) -> None:
    text = "long " * 60
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        graph = chat(saver)
        for run in ("a", "b", "c"):
            graph.invoke({"messages": [HumanMessage(run + text)]}, {**config(), "metadata": {"run_id": run}})
        expected = [found for found in saver.list(config()) if found.metadata["run_id"] != "b"]
        saver.delete_for_runs(["b"])
        assert [found.checkpoint for found in saver.list(config())] == [found.checkpoint for found in expected]
        say(graph, "and on")
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        assert say(chat(saver), "after")[-2] == "after"
        assert isinstance(saver.get_tuple(config()).checkpoint["channel_values"]["messages"][1], AIMessage)  # type: ignore[union-attr]


def _checkpoint(id: str, items: list[Any]) -> Any:
    return {
        **empty_checkpoint(),
        "id": id,
        "channel_values": {"items": items},
        "channel_versions": {"items": int(id, 36) if id.isdigit() else 1},
    }
