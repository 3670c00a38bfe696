"""The workloads that all benchmarks share, so that their figures can be put side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

KEYS = tuple(f"plan/{number:03}" for number in range(64))


def small_dict(number: int) -> dict[str, Any]:
    """What an agent notes after a step: about 120 bytes of MessagePack, and another for each number."""
    return {
        "step": number,
        "action": "search_flights",
        "status": "waiting for it",
        "cost_usd": 0.0125,
        "arguments": {"from": "SFO", "to": "JFK", "day": "2026-05-20"},
        "tries": 2,
    }


def writes(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """``count`` writes over all the keys in turn. A value always differs from the one that is stored."""
    for number in range(count):
        yield KEYS[number % len(KEYS)], small_dict(number)
