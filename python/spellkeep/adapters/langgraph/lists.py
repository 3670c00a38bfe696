"""Lists of channels in memory: which stored element each item is, and whether somebody has changed it since.

A saver hands out and is given lists of mutable objects. `Held` remembers the very objects of one such list beside
private copies of them, so that the next list is compared item by item: the same object with the same content is the
same element, and costs no encoding. Nothing that was handed out is ever part of a copy, nor the other way round.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from operator import is_, itemgetter
from sys import getrefcount
from typing import Any, Protocol, TypeAlias

from spellkeep.adapters.langgraph.messages import Copy, extra_of, fields_of
from spellkeep.adapters.langgraph.types import blob_of
from spellkeep.errors import StateError

Ranges: TypeAlias = list[int]
"""Numbers of elements as first, count, first, count, ..."""

# Of an object that nothing but a list holds.
_IN_LIST = max(map(getrefcount, [object()]))
# Of one that a dict holds too. Both are measured the way they are used: what a call adds differs between versions.
_ONE = [{0: object()}]
_IN_BOTH = max(map(getrefcount, list(map(itemgetter(0), _ONE))))
# Without a GIL counts are split between threads.
_COUNTS_TELL = getattr(sys, "_is_gil_enabled", lambda: True)()
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})


def ranges_of(numbers: Iterable[int]) -> Ranges:
    """Numbers as ranges."""
    ranges: Ranges = []
    end = -1
    for number in numbers:
        if number == end:
            ranges[-1] += 1
        else:
            ranges += (number, 1)
        end = number + 1
    return ranges


def numbers_of(ranges: Ranges) -> Iterator[int]:
    """The numbers of ranges."""
    for at in range(0, len(ranges), 2):
        yield from range(ranges[at], ranges[at] + ranges[at + 1])


def joined(left: Ranges, right: Ranges) -> Ranges:
    """Ranges behind each other."""
    if not left or not right or left[-2] + left[-1] != right[0]:
        return left + right
    return [*left[:-1], left[-1] + right[1], *right[2:]]


class Blobs(Protocol):
    """What knows the bytes of a value on its own."""

    def plain_blob(self, item: Any, blob: bytes, /) -> bytes:
        """Given those with texts that stand elsewhere."""
        ...


class Blob:
    """The copy of an item that is neither a message nor immutable: its bytes."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob = blob


def copy_of(item: Any, blobs: Blobs, blob: bytes) -> Any:
    """A private copy of an item: itself if nothing can change it.

    Args:
        blob: its bytes, with texts that stand elsewhere.
    """
    if type(item) in _ATOMS:
        return item
    return Copy(item) if Copy.fits(item) else Blob(blobs.plain_blob(item, blob))


def _unchanged(item: Any, copy: Any) -> bool:
    try:
        if type(copy) is Copy:
            fields = fields_of(item)
            return fields == copy.fields and copy.same_inside(fields) and not extra_of(item)
        return type(copy) is not Blob or blob_of(item) == copy.blob
    except (StateError, ValueError, TypeError):
        # What cannot be compared, or no longer be kept, was changed.
        return False


class Held:
    """One list as it was last seen: its objects, their elements, and a copy of each."""

    def __init__(self, live: list[Any], numbers: list[int], copies: list[Any], ranges: Ranges | None = None) -> None:
        self.live, self.numbers, self.copies = live, numbers, copies
        self.ranges = ranges_of(numbers) if ranges is None else ranges
        self.all_messages = set(map(type, copies)) == {Copy}
        self._fields = [copy.fields for copy in copies] if self.all_messages else []
        self._filled = [at for at, copy in enumerate(copies) if not copy.plain] if self.all_messages else []
        # Those with two containers more.
        self._calling = [at for at, own in enumerate(self._fields) if "tool_calls" in own]

    def seen_as(self, live: list[Any]) -> Held:
        """The same list as other objects."""
        made = Held.__new__(Held)
        made.__dict__.update(self.__dict__)
        made.live = live
        return made

    def extended(self, live: list[Any], numbers: list[int], copies: list[Any]) -> Held:
        """This list with more behind it. `live` is the whole."""
        made = Held(live, self.numbers + numbers, copies, joined(self.ranges, ranges_of(numbers)))
        made.copies = self.copies + copies
        made.all_messages = self.all_messages and (made.all_messages or not copies)
        if made.all_messages:
            made._fields = self._fields + made._fields
            made._filled = self._filled + [len(self.copies) + at for at in made._filled]
            made._calling = self._calling + [len(self.copies) + at for at in made._calling]
        return made

    def same_prefix(self, items: list[Any]) -> int:
        """How many items from the start are the objects of this list, unchanged."""
        live = self.live
        if len(items) >= len(live) and all(map(is_, items, live)):
            count = len(live)
        else:
            pairs = enumerate(zip(items, live, strict=False))
            count = next((at for at, (item, known) in pairs if item is not known), min(len(items), len(live)))
        if self.all_messages:
            objects = live if count == len(live) else live[:count]
            fields = list(map(fields_of, objects))
            try:
                same = fields == (self._fields if count == len(live) else self._fields[:count])
            except (ValueError, TypeError):
                same = False
            if same and not any(map(extra_of, objects)):
                copies = self.copies
                return next((at for at in self._filled if at < count and not copies[at].same_inside(fields[at])), count)
        return next((at for at in range(count) if not _unchanged(live[at], self.copies[at])), count)

    @property
    def counts_tell(self) -> bool:
        """Whether `taken_back` can tell who else has an object."""
        return bool(self.live) and self.all_messages and _COUNTS_TELL

    def taken_back(self) -> Held:
        """The same list to be handed out again: the very objects, but those that somebody else has, or has changed.

        The caller has dropped all other lists that hold them.
        """
        live = self.live
        counts = list(map(getrefcount, live))
        others = {at for at, count in enumerate(counts) if count > _IN_LIST} if max(counts) > _IN_LIST else set()
        fields = list(map(fields_of, live))
        calling = [fields[at] for at in self._calling]
        for name, own, places in (
            ("additional_kwargs", fields, None),
            ("response_metadata", fields, None),
            ("tool_calls", calling, self._calling),
            ("invalid_tool_calls", calling, self._calling),
        ):
            counts = list(map(getrefcount, list(map(itemgetter(name), own))))
            if counts and max(counts) > _IN_BOTH:
                held = [at for at, count in enumerate(counts) if count > _IN_BOTH]
                others.update(held if places is None else (places[at] for at in held))
        others.update(range(self.same_prefix(live), len(live)))
        items = live.copy()
        for at in others:
            items[at] = self.copies[at].new()
        return self.seen_as(items) if others else self

    def places(self) -> dict[int, int]:
        """Where each object stands, by its identity."""
        return {id(item): at for at, item in enumerate(self.live)}

    def unchanged(self, at: int) -> bool:
        """Whether the object at this place is as it was."""
        return _unchanged(self.live[at], self.copies[at])
