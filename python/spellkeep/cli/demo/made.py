"""Conversations made from a seed: a system prompt, then turns with tool calls, of the sizes that agents see."""

from __future__ import annotations

import random
from typing import Any

__all__ = ["made_conversations"]

_TEXT = (
    "please check the booking and tell me whether a refund is possible for the second passenger since our plan changed "
    "yesterday evening and nobody answered the phone über Köln or 東京 thank you very much 🙂"
)
_WORDS = _TEXT.split()


def _sentence(rng: random.Random, word_count: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(word_count))


def _turn(rng: random.Random, index: int) -> list[dict[str, Any]]:
    question = {"role": "user", "content": _sentence(rng, rng.randint(5, 40))}
    if rng.random() < 0.5:
        return [question, {"role": "assistant", "content": _sentence(rng, rng.randint(10, 80))}]
    call_id = f"call_{rng.getrandbits(64):016x}"
    arguments = f'{{"reservation_id": "{rng.getrandbits(24):06X}"}}'
    call = {"id": call_id, "type": "function", "function": {"name": "find_reservation", "arguments": arguments}}
    result = {"cabin": rng.choice(["economy", "business"]), "price": rng.randint(80, 2000), "legs": rng.randint(1, 4)}
    return [
        question,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "name": "find_reservation", "content": result, "turn": index},
    ]


def made_conversations(seed: int, count: int = 50) -> list[tuple[str, list[dict[str, Any]]]]:
    """``count`` conversations of about 40 messages each; the same for the same seed. Returns: (id, messages)."""
    rng = random.Random(seed)
    conversations = []
    for number in range(count):
        messages: list[dict[str, Any]] = [{"role": "system", "content": _sentence(rng, 400)}]
        for index in range(rng.randint(8, 24)):
            messages += _turn(rng, index)
        conversations.append((f"made-{number:03}", messages))
    return conversations
