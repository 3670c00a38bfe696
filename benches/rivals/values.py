"""Values as agents keep them: messages, tool calls and their results, of about the size that is asked for.

One number makes one value, always the same; two numbers make different ones, in the text too and not only in a counter.
"""

from __future__ import annotations

import functools
import random
from itertools import pairwise
from typing import Any

_WORDS = (  # noqa: SIM905
    "the flight from Berlin leaves at noon and costs less than the one before so I will book it after you said yes "
    "search result page price hotel train ticket station weather rain report summary table column total because while "
    "customer order invoice number missing please check again and answer in two sentences with a link to the source"
).split()
_TOOLS = ("search_flights", "read_page", "run_query", "send_mail", "list_files")


def _text(dice: random.Random, chars: int) -> str:
    words: list[str] = []
    length = 0
    while length < chars:
        words.append(dice.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)[:chars]


def _call_id(dice: random.Random) -> str:
    return f"call_{dice.getrandbits(48):012x}"


def note(number: int) -> dict[str, Any]:
    """What an agent notes after a step: about 120 bytes."""
    dice = random.Random(number)
    return {
        "step": number,
        "tool": dice.choice(_TOOLS),
        "status": dice.choice(("done", "open", "failed")),
        "cost_usd": round(dice.random() / 10, 4),
        "id": _call_id(dice),
        "arguments": {"from": "BER", "day": f"2026-05-{dice.randrange(10, 29)}"},
    }


def _message(dice: random.Random, number: int, chars: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": f"msg_{dice.getrandbits(64):016x}",
        "role": ("user", "assistant", "tool")[number % 3],
        "created_at": 1_760_000_000.25 + number,
        "content": _text(dice, chars),
    }
    if number % 3 == 1:
        arguments = {"query": _text(dice, 40), "limit": dice.randrange(50), "direct": dice.random() < 0.5}
        message["tool_calls"] = [{"id": _call_id(dice), "name": dice.choice(_TOOLS), "arguments": arguments}]
    elif number % 3 == 2:
        message["tool_call_id"] = _call_id(dice)
    return message


def conversation(number: int, size_bytes: int) -> dict[str, Any]:
    """The state of a conversation: messages of a few hundred characters until the size is reached."""
    dice = random.Random(number)
    messages: list[dict[str, Any]] = []
    state = {
        "step": number,
        "session": f"s-{dice.getrandbits(32):08x}",
        "model": "large-2",
        "messages": messages,
        "usage": {"input_tokens": dice.randrange(4000), "output_tokens": dice.randrange(900)},
    }
    left = size_bytes - 130
    while left > 0:
        chars = max(1, min(400 if size_bytes > 2000 else 220, left - 130))
        messages.append(_message(dice, len(messages), chars))
        # Beside its text a message has names and ids.
        left -= chars + (110, 210, 150)[(len(messages) - 1) % 3]
    return state


def value(number: int, size_bytes: int) -> dict[str, Any]:
    """A value of about so many bytes, packed."""
    return note(number) if size_bytes < 300 else conversation(number, size_bytes)


@functools.cache
def _values(count: int, size_bytes: int, seed: int) -> tuple[dict[str, Any], ...]:
    """The same objects for every contender, so that all find them equally far from the processor."""
    made = tuple(value(seed + number, size_bytes) for number in range(count))
    if any(one == other for one, other in pairwise(made)):
        raise AssertionError("two values in turn are equal")
    return made


class Feed:
    """Writes over a fixed set of keys in turn, none of which stores what is there.

    There is one value more than there are keys, so a key gets another one at each turn.
    """

    def __init__(self, keys: list[str], size_bytes: int, seed: int = 0) -> None:
        self.keys = keys
        self._values = _values(len(keys) + 1, size_bytes, seed)
        self._turn = 0

    def first(self) -> list[tuple[str, Any]]:
        """The first write of each key: what a store is filled with."""
        return self.writes(len(self.keys))

    def writes(self, count: int) -> list[tuple[str, Any]]:
        """The next writes."""
        keys, values = self.keys, self._values
        begin, self._turn = self._turn, self._turn + count
        return [(keys[turn % len(keys)], values[turn % len(values)]) for turn in range(begin, begin + count)]

    def new(self, count: int, name: str) -> list[tuple[str, Any]]:
        """The next writes, each under a key that no call has given before."""
        begin, self._turn = self._turn, self._turn + count
        values = self._values
        return [(f"{name}/{turn:09}", values[turn % len(values)]) for turn in range(begin, begin + count)]

    def reads(self, count: int) -> list[str]:
        """Every key in turn."""
        return [self.keys[turn % len(self.keys)] for turn in range(count)]
