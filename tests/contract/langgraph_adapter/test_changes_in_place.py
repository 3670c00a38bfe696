"""Objects that are changed in place: what is stored is what LangGraph's own savers would have stored.

`InMemorySaver` encodes a channel whenever its version moves and hands out new objects each time. Ours compares and may
hand out the same objects again, so each test here runs both and compares everything that they keep.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from operator import add
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from contract.langgraph_adapter.graphs import chat, config, texts
from spellkeep.adapters.langgraph import SpellkeepSaver
from spellkeep.adapters.langgraph.elements import New
from spellkeep.errors import NotSerializable


def both(run: Callable[[Any], Any], node: Callable[[Any], Any]) -> None:
    """Do the same with a graph on each saver; the histories must be equal, in memory and read anew."""
    with SpellkeepSaver.from_conn_string(":memory:") as ours:
        theirs = InMemorySaver()
        results = [run(chat(saver, node)) for saver in (ours, theirs)]
        kept, expected = (history(saver) for saver in (ours, theirs))
        assert kept == expected
        ours._checkpoints.core.forget("t")
        assert history(ours) == expected
        assert results[0] == results[1]


def history(saver: Any) -> list[Any]:
    kept = []
    for found in saver.list(config()):
        values = found.checkpoint["channel_values"]
        messages = [(type(each), plain(each)) for each in values.get("messages", [])]
        kept.append((found.metadata["step"], messages, [plain(each) for each in values.get("items", [])]))
    return kept


def plain(message: Any) -> Any:
    """What a message says, with types and orders, but for its id, which is random."""
    if not hasattr(message, "model_dump"):
        return message
    return repr({key: value for key, value in message.model_dump().items() if key != "id"})


def rich(text: str) -> AIMessage:
    return AIMessage(
        text,
        tool_calls=[{"name": "search", "args": {"q": [1, {"deep": "x"}]}, "id": "c1"}],
        response_metadata={"model": "m", "numbers": [1, 2.5]},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )


def turns(graph: Any, count: int = 4) -> list[str]:
    for turn in range(count):
        graph.invoke({"messages": [HumanMessage(f"question {turn}")]}, config(), durability="sync")
    return texts(graph.get_state(config()).values)


def other_type(numbers: list[Any]) -> None:
    """Equal, and not the same."""
    numbers[0] = {int: 1.0, float: True, bool: 1}[type(numbers[0])]


def turned(fields: dict[str, Any]) -> None:
    """Equal, and in another order."""
    fields.setdefault("a", 1)
    fields.setdefault("b", 2)
    first = next(iter(fields))
    fields[first] = fields.pop(first)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "content": lambda message: setattr(message, "content", message.content + "!"),
    "name": lambda message: setattr(message, "name", "somebody"),
    "an empty dict": lambda message: message.additional_kwargs.update(new=[1]),
    "a filled dict": lambda message: message.response_metadata.update(seen=True),
    "the type of a number": lambda message: other_type(message.response_metadata.setdefault("flags", [1])),
    "an order": lambda message: turned(message.response_metadata),
    "an extra": lambda message: setattr(message, "note", "kept too"),
    "deep inside": lambda message: [
        call["args"]["q"][1].update(deep="y") for call in getattr(message, "tool_calls", ())
    ],
    "content blocks": lambda message: setattr(message, "content", [{"type": "text", "text": "block"}]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "second", "last"])
def test_a_message_changed_by_a_node_is_kept_changed(change: Callable[[Any], Any], which: int) -> None:
    def node(state: Any) -> Any:
        change(state["messages"][which % len(state["messages"])])
        return {"messages": [rich(f"answer {len(state['messages'])}")]}

    both(turns, node)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("collect", [True, False], ids=["collected", "as it is"])
def test_a_returned_message_that_is_changed_changes_nothing_that_is_stored(
    change: Callable[[Any], Any], collect: bool
) -> None:
    def run(graph: Any) -> Any:
        last = None
        for turn in range(4):
            last = graph.invoke({"messages": [HumanMessage(f"question {turn}")]}, config(), durability="sync")
            for message in last["messages"]:
                change(message)
            last["messages"].reverse()
            if turn % 2:
                # Nobody has them any more: the saver may hand out the same objects again.
                del last, message
                if collect:
                    gc.collect()
        return [plain(message) for message in graph.get_state(config()).values["messages"]]

    both(run, lambda state: {"messages": [rich(f"answer {len(state['messages'])}")]})


def test_containers_that_outlive_their_message_are_nobody_elses() -> None:
    held: list[Any] = []

    def node(state: Any) -> Any:
        for container in held:
            container["late"] = True
        held.clear()
        return {"messages": [rich(f"answer {len(state['messages'])}")]}

    def run(graph: Any) -> Any:
        for turn in range(4):
            result = graph.invoke({"messages": [HumanMessage(f"question {turn}")]}, config(), durability="sync")
            held.extend(message.additional_kwargs for message in result["messages"])
            held.append(result["messages"][-1].response_metadata)
            held.append(result["messages"][-1].tool_calls[0])
            del result
        return texts(graph.get_state(config()).values)

    both(run, node)


def test_a_state_that_somebody_looks_at_during_a_run_is_not_the_runs() -> None:
    graphs: list[Any] = []

    def node(state: Any) -> Any:
        seen = graphs[-1].get_state(config()).values["messages"]
        for message in seen:
            message.content = "seen"
        seen.clear()
        return {"messages": [rich(f"answer {len(state['messages'])}")]}

    def run(graph: Any) -> Any:
        graphs.append(graph)
        return turns(graph)

    both(run, node)


def test_a_list_that_is_reordered_cut_and_extended_is_kept_so() -> None:
    from langchain_core.messages import RemoveMessage
    from langgraph.graph.message import REMOVE_ALL_MESSAGES

    def node(state: Any) -> Any:
        kept = list(reversed(state["messages"]))[:5]
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), *kept, rich(f"answer {len(state['messages'])}")]}

    both(lambda graph: turns(graph, 8), node)


def test_unchanged_messages_are_not_stored_again() -> None:
    text = "long text " * 100
    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        graph = chat(saver, lambda state: {"messages": [rich(f"{len(state['messages'])} {text}")]})
        sizes = []
        for turn in range(60):
            before = saver.state.stats().log_bytes
            graph.invoke({"messages": [HumanMessage(f"{turn} {text}")]}, config(), durability="sync")
            sizes.append(saver.state.stats().log_bytes - before)
    assert max(sizes[10:]) < 1.3 * sizes[5] + 500


class Lists(TypedDict):
    items: Annotated[list, add]


@pytest.mark.parametrize(
    "item",
    [
        lambda number: {"role": "user", "content": f"{number} " + "x" * 200, "parts": [number]},
        lambda number: ("user", f"{number} " + "y" * 200, [number]),
        lambda number: number,
        lambda number: f"text {number}",
        lambda number: [number, [number]],
        lambda number: None,
    ],
    ids=["dict", "tuple", "number", "text", "list", "None"],
)
def test_lists_of_other_things_are_kept_as_theirs(item: Callable[[int], Any]) -> None:
    def node(state: Any) -> Any:
        first = state["items"][0]
        if isinstance(first, dict):
            first["parts"].append("changed")
        elif isinstance(first, list | tuple):
            first[-1].append("changed")
        return {"items": [item(len(state["items"]))]}

    kept = []
    for saver in (SpellkeepSaver.from_conn_string(":memory:"), InMemorySaver()):
        with saver:
            builder = StateGraph(Lists)
            builder.add_node("add", node)
            builder.add_edge(START, "add")
            graph = builder.compile(checkpointer=saver)
            for turn in range(4):
                result = graph.invoke({"items": [item(100 + turn)]}, config(), durability="sync")
                result["items"].append("mine")
                if isinstance(result["items"][1], dict):
                    result["items"][1]["parts"].clear()
            kept.append(history(saver))
    # LangGraph's serializer makes tuples inside of values lists.
    assert _listed(kept[0]) == _listed(kept[1])


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(part) for part in value]
    return {key: _listed(part) for key, part in value.items()} if isinstance(value, dict) else value


def test_a_put_that_fails_leaves_the_list_in_memory_as_it_was() -> None:
    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        said = [HumanMessage("a", id="1"), AIMessage("b", id="2")]

        def put(messages: list[Any], version: int, **more: Any) -> None:
            place = saver.get_tuple(config())
            checkpoint: Any = {
                **{"v": 4, "id": f"id {version}", "ts": "2026-01-01", "versions_seen": {}},
                "channel_values": {"messages": messages, **more},
                "channel_versions": dict.fromkeys(("messages", *more), version),
            }
            before: Any = place.config if place else {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            saver.put(before, checkpoint, {}, checkpoint["channel_versions"])

        put(said, 1)
        with pytest.raises(NotSerializable):
            put([*said, HumanMessage("never kept", id="3")], 2, other=object())
        put([*said, AIMessage("c", id="4"), HumanMessage("d", id="5")], 3)
        for expected in (["a", "b", "c", "d"], ["a", "b", "c", "e"]):
            for _ in range(2):
                found = saver.get_tuple(config())
                assert found is not None
                kept = found.checkpoint["channel_values"]["messages"]
                assert [message.content for message in kept] == expected
                saver._checkpoints.core.forget("t")
            kept[-1].content = "e"
            put(kept, 4)


@pytest.mark.parametrize("kept", range(9))
def test_the_last_turns_are_taken_back(kept: int) -> None:
    """What is left of the list is the beginning of the former one, in more and fewer ranges of stored elements."""

    def answer(state: Any) -> dict[str, Any]:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}" + "x" * 60)]}

    def run(saver: Any, forget: Callable[[], None] = lambda: None) -> list[list[str]]:
        graph, seen = chat(saver, answer), []
        for turn in range(4):
            graph.invoke({"messages": [HumanMessage(f"question {turn}" + "y" * 60, id=f"q{turn}")]}, config())
        messages = graph.get_state(config()).values["messages"]
        graph.update_state(config(), {"messages": [RemoveMessage(id=gone.id) for gone in messages[kept:]]})
        seen.append(texts(graph.get_state(config()).values))
        forget()
        seen.append(texts(graph.get_state(config()).values))
        graph.update_state(config(), {"messages": messages[kept:]})
        forget()
        seen.append(texts(graph.get_state(config()).values))
        return seen

    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        assert run(saver, saver._checkpoints.core.forget_all) == run(InMemorySaver())


@pytest.mark.parametrize("other", [HumanMessage("two", id="2"), ("not", "a message")], ids=["messages", "mixed"])
def test_a_message_that_another_thread_changes_while_a_list_is_stored_is_stored_the_next_time(
    monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    changed, place = HumanMessage("one", id="1"), config(checkpoint_ns="")
    encode = New.blob

    def encode_and_change(self: New, item: Any) -> bytes:
        blob = encode(self, item)
        changed.content = "changed"
        return blob

    with SpellkeepSaver.from_conn_string(":memory:") as saver:
        for number, encoding in enumerate([encode_and_change, encode]):
            monkeypatch.setattr(New, "blob", encoding)
            checkpoint = {
                **empty_checkpoint(),
                "id": f"{number:04}",
                "channel_values": {"messages": [changed, other]},
                "channel_versions": {"messages": number + 1},
            }
            place = saver.put(place, checkpoint, {"step": number}, {"messages": number + 1})  # type: ignore[arg-type]
        saver._checkpoints.core.forget("t")
        kept = saver.get_tuple(config())
    assert kept is not None and kept.checkpoint["channel_values"]["messages"] == [changed, other]
    assert changed.content == "changed"
