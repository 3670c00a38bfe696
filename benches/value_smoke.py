"""Encode and decode three typical values, side by side with ormsgpack, and read parts of a large one, side by side with
all of it. Medians of interleaved rounds, in microseconds.

    python benches/value_smoke.py [rounds]

ormsgpack keeps neither tuples nor any other type exactly and checks no limits; it stands for what is possible.
"""

from __future__ import annotations

import statistics
import sys
import timeit
from collections.abc import Callable
from typing import Any

import ormsgpack

import spellkeep as sk
from spellkeep.value import decode, encode

SMALL = {
    "step": 12,
    "agent": "scout",
    "goal": "find the cheapest direct flight to Oslo",
    "score": 0.87,
    "done": False,
    "retries": 3,
    "next": None,
    "tags": ["air", "fares"],
}
MESSAGE = {
    "id": "msg_01H9Z8Y7X6W5V4U3",
    "role": "assistant",
    "created_at": 1_734_567_890.123,
    "model": "large-2",
    "content": [
        {
            "type": "text",
            "text": "I will look for flights on Friday and compare the prices of the three airlines. " * 9,
        },
        {
            "type": "tool_use",
            "id": "toolu_01A2B3C4",
            "name": "search_flights",
            "input": {"from": "BER", "to": "OSL", "date": "2025-03-14", "passengers": 1, "direct": True},
        },
    ],
    "usage": {"input_tokens": 1532, "output_tokens": 211, "cached": 0},
    "stop_reason": "tool_use",
}
NESTED = {
    "messages": [dict(MESSAGE, id=f"msg_{index:08d}") for index in range(7)],
    "plan": {
        f"step_{index}": {"state": "open", "cost": index * 1.5, "after": list(range(index))} for index in range(40)
    },
    "notes": ["naïve café, résumé — déjà vu " * 2] * 10,
}


SCOUT = sk.StateScope.agent("scout")
CHAT: dict[str, Any] = {f"field_{index}": index for index in range(18)} | {
    "messages": [
        {"id": index, "role": "user", "content": f"message {index}: " + "what was said and meant, " * 6}
        for index in range(5000)
    ],
    "meta": {"model": "large-2"},
}


def timed(calls: dict[str, tuple[Callable[[], Any], int]], rounds: int) -> dict[str, float]:
    """Microseconds of each call, which takes turns with the others."""
    times: dict[str, list[float]] = {label: [] for label in calls}
    for _ in range(rounds):
        for label, (call, number) in calls.items():
            times[label].append(timeit.timeit(call, number=number) / number * 1e6)
    return {label: statistics.median(rows) for label, rows in times.items()}


def measure_views(rounds: int) -> None:
    """Parts of one large value, by a view and by ``get``."""
    with sk.open("memory:") as state:
        handle = state.scope(SCOUT)
        handle["chat"] = CHAT
        if handle.view("chat")["messages"][4711].to_python() != CHAT["messages"][4711]:
            raise SystemExit("a view shows something else")
        calls: dict[str, tuple[Callable[[], Any], int]] = {
            'get(key)["meta"]': (lambda: handle["chat"]["meta"], 1),
            'view(key)["meta"]': (lambda: handle.view("chat")["meta"], 1000),
            'view(key)["messages"][4711]["content"]': (lambda: handle.view("chat")["messages"][4711]["content"], 1000),
            "view(key).to_python()": (lambda: handle.view("chat").to_python(), 1),
        }
        us = timed(calls, rounds)
    whole = us['get(key)["meta"]']
    print(f"conversation of 5,000 messages: {len(encode(CHAT))} bytes")
    for label, took in us.items():
        print(f"  {label:39} {took:10.2f} us   {whole / took:8.1f} times as fast as get")


def measure(name: str, value: Any, rounds: int) -> None:
    ours, theirs = encode(value), ormsgpack.packb(value)
    if decode(ours) != value:
        raise SystemExit(f"{name} does not round-trip")
    number = max(20, 400_000 // len(ours))
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "encode": (lambda: encode(value), number),
        "ormsgpack.packb": (lambda: ormsgpack.packb(value), number),
        "decode": (lambda: decode(ours), number),
        "ormsgpack.unpackb": (lambda: ormsgpack.unpackb(theirs), number),
    }
    us = timed(calls, rounds)
    print(f"{name}: {len(ours)} bytes (ormsgpack {len(theirs)})")
    for mine, other in (("encode", "ormsgpack.packb"), ("decode", "ormsgpack.unpackb")):
        print(f"  {mine}  {us[mine]:8.3f} us   {other:17} {us[other]:8.3f} us   ratio {us[mine] / us[other]:.2f}")


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 41
    for name, value in (("small dict", SMALL), ("agent message", MESSAGE), ("nested state", NESTED)):
        measure(name, value, rounds)
    measure_views(min(rounds, 15))
