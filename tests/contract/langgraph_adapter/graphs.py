"""Graphs and messages that the tests put through a saver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph


def answer(state: MessagesState) -> dict[str, Any]:
    """A scripted model: it counts."""
    return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}


def chat(saver: Any, node: Callable[[Any], Any] = answer) -> Any:
    """A graph of one node over a list of messages."""
    builder = StateGraph(MessagesState)
    builder.add_node("chat", node)
    builder.add_edge(START, "chat")
    return builder.compile(checkpointer=saver)


def config(thread_id: str = "t", **more: Any) -> Any:
    """What names a thread."""
    return {"configurable": {"thread_id": thread_id, **more}}


def say(graph: Any, text: str, thread_id: str = "t") -> list[str]:
    """One turn; the texts of all messages after it."""
    return texts(graph.invoke({"messages": [HumanMessage(text)]}, config(thread_id)))


def texts(values: Any) -> list[str]:
    """The texts of a state's messages."""
    return [message.content for message in values["messages"]]
