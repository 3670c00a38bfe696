"""The lists of one thread that are in memory, so that a turn neither decodes nor encodes what did not change."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Any, TypeAlias

from spellkeep.adapters.langgraph.elements import Elements, Kept, New
from spellkeep.adapters.langgraph.lists import ATOMS, Held, Ranges, copies_of, copy_of, quick_copies

LISTS_MAX = 32
UNKNOWN_MIN = 4

Place: TypeAlias = tuple[str, str]
"""Namespace and channel."""


class HeldLists:
    """The latest list of each channel.

    Attributes:
        count: of the items of all of them.
    """

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._lists: OrderedDict[Place, Held] = OrderedDict()
        self.count = 0

    def handed_out(self, place: Place, ranges: Ranges) -> list[Any]:
        """A list that is the caller's alone."""
        held = self._lists.get(place)
        if held is not None and (held.ranges is ranges or held.ranges == ranges):
            held = held.handed_out()
        else:
            numbers, copies = self._elements.copies(ranges)
            held = Held(copies_of(copies), numbers, copies, ranges)
        self.hold(place, held)
        return held.live.copy()

    def hold(self, place: Place, held: Held) -> None:
        """Remember a list as the latest of its channel."""
        held.stored()
        former = self._lists.get(place)
        self.count += len(held.live) - (len(former.live) if former is not None else 0)
        self._lists[place] = held
        self._lists.move_to_end(place)
        while len(self._lists) > LISTS_MAX:
            _, gone = self._lists.popitem(last=False)
            self.count -= len(gone.live)

    def clear(self) -> None:
        """Forget all."""
        self._lists.clear()
        self.count = 0

    def keep(self, place: Place, items: list[Any], parent: Kept | None, new: New) -> Held:
        """A list that is to be stored: which element each item is, new ones where it must be."""
        held = self._lists.get(place)
        count = held.same_prefix(items) if held is not None else 0
        if held is not None and count == len(items) == len(held.live):
            return held
        numbers, copies = self._others(held, count, items[count:], parent, new)
        live = items.copy()
        if held is None or count == 0:
            return Held(live, numbers, copies)
        if count == len(held.live):
            return held.extended(live, numbers, copies)
        return Held(live, held.numbers[:count] + numbers, held.copies[:count] + copies)

    def _others(
        self, held: Held | None, begin: int, items: list[Any], parent: Kept | None, new: New
    ) -> tuple[list[int], list[Any]]:
        places = held.places() if held is not None and begin < len(held.live) else {}
        numbers: list[int] = []
        copies: list[Any] = []
        fresh: list[int] = []
        for item in items:
            at = places.get(id(item))
            if at is not None and held is not None and held.unchanged(at):
                numbers.append(held.numbers[at])
                copies.append(held.copies[at])
            else:
                fresh.append(len(copies))
                numbers.append(-1)
                copies.append(item)
        stored: dict[bytes, int] | None = None
        for at, quick in zip(fresh, quick_copies([copies[at] for at in fresh]), strict=True):
            # What is stored is what the copy has. Somebody may change the item meanwhile, which is found the next time.
            copy = copies[at] = _copy(copies[at], new) if quick is None else quick
            blob = new.blob(copy)
            number = self._elements.recent.get(blob)
            # A list of which nothing is known in memory, of a run that began before a restart, say.
            if number is None and type(parent) is array and len(items) > UNKNOWN_MIN:
                if stored is None:
                    every, _ = self._elements.copies(parent)
                    stored = {self._elements.plain_blob(each): each for each in every}
                number = stored.get(new.plain_blob(copy, blob))
            numbers[at] = new.item(copy, blob) if number is None else number
        return numbers, copies


def _copy(item: Any, new: New) -> Any:
    if type(item) not in ATOMS:
        # Its class may be one that is to be known from now on.
        new.blob(item)
    return copy_of(item)
