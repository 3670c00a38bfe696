"""Which messages a conversation consists of: numbers from the first on, without those that are gone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple


class Conversation(NamedTuple):
    """What is left of the numbers below an end that grows with each message.

    Attributes:
        first: all below it are gone.
        gone: ranges behind `first` that are gone too: in order, apart from each other, never empty.
        edited: whether any message was edited, so that its edit has to be looked for.
    """

    first: int = 0
    gone: tuple[tuple[int, int], ...] = ()
    edited: bool = False

    @classmethod
    def of(cls, stored: Any) -> Conversation:
        """The one that an entry holds."""
        return cls(stored["first"], tuple((start, stop) for start, stop in stored["gone"]), stored["edited"])

    def stored(self) -> dict[str, Any]:
        """What is kept of it."""
        return {"first": self.first, "gone": [list(each) for each in self.gone], "edited": self.edited}

    def count(self, end: int) -> int:
        """How many messages there are."""
        return max(end - self.first, 0) - sum(stop - start for start, stop in self.gone)

    def runs(self, end: int) -> Iterator[tuple[int, int]]:
        """The numbers that are there, as ranges."""
        start = self.first
        for gone_from, gone_to in self.gone:
            yield start, gone_from
            start = gone_to
        if start < end:
            yield start, end

    def slice(self, end: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The ranges of the messages from the `start`-th up to the `stop`-th."""
        at = 0
        for low, high in self.runs(end):
            if at >= stop:
                return
            length = high - low
            begin, finish = max(start - at, 0), min(stop - at, length)
            if begin < finish:
                yield low + begin, low + finish
            at += length

    def number(self, end: int, index: int) -> int:
        """The number of the `index`-th message, which must be there."""
        return next(self.slice(end, index, index + 1))[0]

    def has(self, number: int) -> bool:
        """Whether a number below the end is still there."""
        at = bisect_right(self.gone, number, key=lambda each: each[0])
        return number >= self.first and not (at and number < self.gone[at - 1][1])

    def up_to(self, end: int) -> Conversation:
        """The same, as if the numbers from `end` on were not known yet."""
        gone = tuple((start, min(stop, end)) for start, stop in self.gone if start < end)
        return Conversation(min(self.first, end), gone, self.edited)

    def without(self, start: int, stop: int) -> Conversation:
        """The same without the numbers from `start` up to `stop`."""
        ranges = sorted([*self.gone, (max(start, self.first), stop)])
        first, merged = self.first, list[tuple[int, int]]()
        for low, high in ranges:
            if low >= high:
                continue
            if low <= first:
                first = max(first, high)
            elif merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        return Conversation(first, tuple(each for each in merged if each[1] > first), self.edited)
