"""An agent that is killed at any moment and goes on where it was: ``python examples/langgraph/resume.py``.

The model is scripted: it asks for a tool three times and then answers. The parent process starts the agent, kills it
with SIGKILL after each new step that it reports, and starts it again; in the end the conversation is what it would have
been.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from spellkeep.adapters.langgraph import SpellkeepSaver

CITIES = ["Lisbon", "Oslo", "Cairo"]
THREAD: Any = {"configurable": {"thread_id": "trip"}}


def model(state: MessagesState) -> dict[str, Any]:
    """Ask for the weather of the next city, or sum up."""
    known = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    if len(known) == len(CITIES):
        return {"messages": [AIMessage("; ".join(str(message.content) for message in known))]}
    call = {"name": "weather", "args": {"city": CITIES[len(known)]}, "id": f"call-{len(known)}"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def tool(state: MessagesState) -> dict[str, Any]:
    """Answer the last call."""
    call = state["messages"][-1].tool_calls[0]  # type: ignore[union-attr]
    return {"messages": [ToolMessage(f"{call['args']['city']}: sunny", tool_call_id=call["id"])]}


def agent(saver: SpellkeepSaver) -> Any:
    """The graph: the model, and the tool while the model asks for it."""
    builder = StateGraph(MessagesState)
    builder.add_node("model", model)
    builder.add_node("tool", tool)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda state: "tool" if state["messages"][-1].tool_calls else END)
    builder.add_edge("tool", "model")
    return builder.compile(checkpointer=saver)


def work(store: str) -> None:
    """Begin the conversation, or go on with it; report each step once it is kept."""
    with SpellkeepSaver.from_conn_string(store) as saver:
        graph = agent(saver)
        begun = graph.get_state(THREAD).values
        question = None if begun else {"messages": [HumanMessage("Where is the sun?")]}
        for state in graph.stream(question, THREAD, stream_mode="values", durability="sync"):
            print(len(state["messages"]), flush=True)
        print("done", flush=True)


def main() -> None:
    """Kill the agent at each new message until it is done."""
    with tempfile.TemporaryDirectory() as store:
        kills, seen, done = 0, 0, False
        while not done:
            child = subprocess.Popen([sys.executable, __file__, store], stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
            for line in child.stdout:
                done = line.strip() == "done"
                if not done and int(line) > seen:
                    seen = int(line)
                    child.send_signal(signal.SIGKILL)
                    kills += 1
                    break
            child.wait()
            child.stdout.close()
        with SpellkeepSaver.from_conn_string(store) as saver:
            messages = agent(saver).get_state(THREAD).values["messages"]
        print(f"killed {kills} times, {len(messages)} messages: {messages[-1].content}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1])
    else:
        main()
