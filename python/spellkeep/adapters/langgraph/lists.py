"""Lists of channels in memory: which stored element each item is, and whether somebody has changed it since.

A saver hands out and is given lists of mutable objects. `Held` remembers the objects of one such list beside private
copies of them, so that the next list is compared item by item: the same content is the same element, and costs no
encoding. Nothing that was handed out is ever part of a copy, nor the other way round, but for what cannot change.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from spellkeep.adapters.langgraph.messages import MADE_OF, PARTS, copied, known
from spellkeep.adapters.langgraph.types import blob_of
from spellkeep.errors import StateError
from spellkeep.value import Pictures, changed, copies, decode

Ranges: TypeAlias = "array[int]"
"""Numbers of elements as first, count, first, count, ...: of a long conversation thousands, so not objects each."""

ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Numbers as ranges."""
    ranges = array("q")
    end = -1
    for number in numbers:
        if number == end:
            ranges[-1] += 1
        else:
            ranges.append(number)
            ranges.append(1)
        end = number + 1
    return ranges


def numbers_of(ranges: Ranges | list[int]) -> Iterator[int]:
    """The numbers of ranges."""
    for at in range(0, len(ranges), 2):
        yield from range(ranges[at], ranges[at] + ranges[at + 1])


def joined(left: Ranges, right: Ranges) -> Ranges:
    """Ranges behind each other."""
    if not left or not right or left[-2] + left[-1] != right[0]:
        return left + right
    both = left + right[2:]
    both[len(left) - 1] += right[1]
    return both


def copy_of(value: Any) -> Any:
    """A private copy of a value that can be kept: itself if nothing can change it."""
    if type(value) in ATOMS:
        return value
    return copied(value, copy_of) if type(value) in known else decode(blob_of(value))


def quick_copies(values: list[Any]) -> list[Any]:
    """A private copy of each, or None where Python must make it: of messages with odd parts, or beside others."""
    return copies(values, MADE_OF) if known.issuperset(map(type, values)) else [None] * len(values)


def copies_of(values: list[Any]) -> list[Any]:
    """A private copy of each."""
    return [copy_of(value) if copy is None else copy for value, copy in zip(values, quick_copies(values), strict=True)]


class Held:
    """One list as it was last seen: its objects, their elements, and a copy of each."""

    __slots__ = ("_behind", "_parts", "_pictures", "copies", "live", "numbers", "ranges")

    def __init__(self, live: list[Any], numbers: list[int], copies: list[Any], ranges: Ranges | None = None) -> None:
        self.live, self.numbers, self.copies = live, numbers, copies
        self.ranges = ranges_of(numbers) if ranges is None else ranges
        # Other classes may have been registered with functions that look at more than this.
        self._parts = PARTS if known.issuperset(map(type, copies)) else None
        self._pictures = Pictures()
        self._behind: tuple[list[int], list[Any]] | None = None

    def seen_as(self, live: list[Any]) -> Held:
        """The same list as other objects."""
        made = Held.__new__(Held)
        made.numbers, made.copies, made.ranges = self.numbers, self.copies, self.ranges
        made._parts, made._pictures = self._parts, self._pictures
        made.live, made._behind = live, None
        return made

    def extended(self, live: list[Any], numbers: list[int], copies: list[Any]) -> Held:
        """This list with more behind it, to be used once it has been called `stored`. `live` is the whole."""
        made = self.seen_as(live)
        made.ranges = joined(self.ranges, ranges_of(numbers))
        made._behind = numbers, copies
        if not known.issuperset(map(type, copies)):
            made._parts = None
        return made

    def stored(self) -> None:
        """This is the latest list now, and takes over what the one has that it extends: that is not used any more."""
        if self._behind is not None:
            numbers, copies = self._behind
            self.numbers += numbers
            self.copies += copies
            self._behind = None

    def same_prefix(self, items: list[Any]) -> int:
        """How many items from the start are as those of this list were."""
        different = changed(items, self.copies, parts=self._parts, pictures=self._pictures)
        return different[0] if different else min(len(items), len(self.copies))

    def handed_out(self) -> Held:
        """The same list to be handed out: the very objects, but copies of those that somebody else has, or has changed.

        No other list of the saver's holds them.
        """
        others = changed(self.live, self.copies, parts=self._parts, pictures=self._pictures, sole=True)
        if not others:
            return self
        items = self.live.copy()
        for at, copy in zip(others, copies_of([self.copies[at] for at in others]), strict=True):
            items[at] = copy
        return self.seen_as(items)

    def places(self) -> dict[int, int]:
        """Where each object stands, by its identity."""
        return {id(item): at for at, item in enumerate(self.live)}

    def unchanged(self, at: int) -> bool:
        """Whether the object at this place is as it was."""
        item, copy = self.live[at : at + 1], self.copies[at : at + 1]
        try:
            # What LangGraph's serializer keeps as something else is never the same as its copy.
            return not changed(item, copy, parts=self._parts) or blob_of(item[0]) == blob_of(copy[0])
        except (StateError, ValueError, TypeError):
            # What can no longer be kept was changed.
            return False
