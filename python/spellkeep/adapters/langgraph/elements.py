"""Elements: the values that a thread's records hold, each stored once and found by its number.

Whatever is the same bytes as a value stored shortly before is that element: a message that a task wrote is not stored
again when the next checkpoint has it in a list. A message whose text stands in another element (graph input, mostly) is
stored with a `Text` in its place.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections import OrderedDict
from typing import Any, TypeAlias

from spellkeep import ScopeHandle
from spellkeep.adapters.langgraph.lists import Ranges, numbers_of, ranges_of
from spellkeep.adapters.langgraph.messages import SHOWN, known
from spellkeep.adapters.langgraph.records import blobs_of
from spellkeep.adapters.langgraph.types import Text, blob_of, number_of, text_of
from spellkeep.errors import Corrupted
from spellkeep.value import Substitution, decode, encode

Kept: TypeAlias = "bytes | int | Ranges | list[int] | None"
"""A value in a record: its bytes, the number of an element, the ranges of a list's elements (in a record of writes as a
list), or None itself."""

INLINE_BYTES_MAX = 40
TEXT_LEN_MIN = 128
RECENT_MAX = 256
RECENT_BYTES_MAX = 1 << 20
TEXTS_MAX = 64
NUMBERS_MAX = 1024
# A list of more ranges than this has them in elements of their own.
NODE_NUMBERS = 128
WALK_MAX = 64
INPUT_DEPTH = 3
_TAG = b"lg:t"
# A value with long texts replaced, also in messages.
_shown = Substitution(known, SHOWN, field="content", len_min=TEXT_LEN_MIN, items_max=WALK_MAX)


def names_text(blob: bytes) -> bool:
    """Whether a text of the value may stand elsewhere."""
    return _TAG in blob


def by_items(value: list[Any]) -> bool:
    """Whether a list is stored item by item: all but long ones of numbers, which are smaller together."""
    if not value:
        return False
    return len(value) <= NUMBERS_MAX or not {type(value[0]), type(value[-1])} <= {int, float, bool}


class Elements:
    """The elements of one thread.

    Attributes:
        next: the number that the next new element gets.
        recent: the elements of bytes that came shortly before.
    """

    def __init__(self, handle: ScopeHandle) -> None:
        self._handle = handle
        self._starts: list[tuple[int, str]] = []
        self.recent: OrderedDict[bytes, int] = OrderedDict()
        self._recent_bytes = 0
        self._texts: OrderedDict[str, Text] = OrderedDict()
        self._nodes: dict[bytes, int] = {}
        self._record: tuple[str, list[bytes]] = ("", [])
        self.next = 0

    def begin(self, handle: ScopeHandle) -> None:
        """Where they stand, of a thread that had no scope."""
        self._handle = handle

    def found_in(self, first: int, key: str) -> None:
        """A record of the store holds the elements from `first` on."""
        if not self._starts or self._starts[-1][0] < first:
            self._starts.append((first, key))
        else:
            insort(self._starts, (first, key))

    def count_last(self) -> None:
        """After all records were named."""
        if self._starts:
            first, key = self._starts[-1]
            self.next = first + len(blobs_of(self._handle[key]))

    def blob(self, number: int) -> bytes:
        """The bytes of an element."""
        at = bisect_right(self._starts, (number, "\U0010ffff")) - 1
        if at >= 0:
            first, key = self._starts[at]
            if self._record[0] != key:
                self._record = (key, blobs_of(self._handle[key]))
            if number - first < len(self._record[1]):
                return self._record[1][number - first]
        raise Corrupted(
            f"{self._handle.scope}: element {number} is named by a record and not there", code="langgraph.element"
        )

    def value(self, number: int) -> Any:
        """An element's value, made anew."""
        blob = self.blob(number)
        value = decode(blob)
        if type(value) in known and type(value.content) is int:
            value.__dict__["content"] = self._text(text_of(value.content))
        return self.whole(value) if _TAG in blob else value

    def _text(self, text: Text) -> Any:
        found = self.value(text.element)
        return found.content if text.inside else found

    def whole(self, value: Any) -> Any:
        """A decoded element with the texts that stand elsewhere, put in place."""
        if type(value) is Text:
            return self._text(value)
        if type(value) in known:
            value.__dict__["content"] = self.whole(value.content)
        elif type(value) is dict:
            for key, part in value.items():
                value[key] = self.whole(part)
        elif type(value) is list:
            value[:] = map(self.whole, value)
        elif type(value) is tuple:
            return tuple(map(self.whole, value))
        return value

    def read(self, kept: Kept) -> Any:
        """The value that a record has this for, made anew."""
        if type(kept) is bytes:
            return self.whole(decode(kept)) if names_text(kept) else decode(kept)
        if type(kept) is int:
            return self.value(kept)
        if kept is None:
            return None
        return [self.value(number) for number in numbers_of(kept)]  # type: ignore[arg-type]

    def copies(self, ranges: Ranges) -> tuple[list[int], list[Any]]:
        """Numbers of a list's elements, and a copy of each."""
        numbers = list(numbers_of(ranges))
        return numbers, [self.value(number) for number in numbers]

    def node(self, blob: bytes) -> int | None:
        """The element that has these ranges."""
        return self._nodes.get(blob)

    def remember_node(self, blob: bytes, number: int) -> None:
        """So that the same ranges are not stored again."""
        self._nodes[blob] = number

    def lengthen(self, kept: list[Any]) -> Ranges:
        """The ranges that `New.shorten` was given."""
        ranges = array("q")
        if not kept or type(kept[0]) is int:
            ranges.fromlist(kept)
            return ranges
        for number in kept[0]:
            blob = self.blob(number)
            self._nodes[blob] = number
            ranges.fromlist(decode(blob))
        ranges.fromlist(kept[1:])
        return ranges

    def plain_blob(self, number: int) -> bytes:
        """The bytes of an element as it would be without a text that stands elsewhere."""
        blob = self.blob(number)
        value = self.value(number)
        return blob_of(value) if type(value) in known or _TAG in blob else blob

    def remember(self, numbers: dict[bytes, int]) -> None:
        """So that the next value of the same bytes is this element."""
        self.recent.update(numbers)
        self._recent_bytes += sum(map(len, numbers))
        while len(self.recent) > RECENT_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            gone, _ = self.recent.popitem(last=False)
            self._recent_bytes -= len(gone)

    def text(self, text: str) -> Text | None:
        """Where a text stands."""
        found = self._texts.get(text)
        if found is not None:
            self._texts.move_to_end(text)
        return found

    def remember_texts(self, places: list[tuple[str, Text]]) -> None:
        """Where texts stand that may come again."""
        for text, place in places:
            self._texts.setdefault(text, place)
        while len(self._texts) > TEXTS_MAX:
            self._texts.popitem(last=False)


class New:
    """The elements that one batch adds to a thread; theirs once the batch is committed."""

    __slots__ = (
        *("_elements", "_first", "_local", "_made_nodes", "_made_texts", "_records", "_register_new"),
        *("blobs", "next"),
    )

    def __init__(self, elements: Elements, *, register_new: bool) -> None:
        self._elements = elements
        self._register_new = register_new
        self._local: dict[bytes, int] = {}
        self._made_texts: list[tuple[str, Text]] = []
        self._made_nodes: dict[bytes, int] = {}
        self._first = self.next = elements.next
        self.blobs: list[bytes] = []
        self._records: list[tuple[int, str]] = []

    def blob(self, item: Any) -> bytes:
        """The bytes of an item of a list, with texts that stand elsewhere as where they stand."""
        if type(item) in known:
            # No message has a number for its content, so it needs no tag that says what it is.
            text = self._elements.text(item.content) if type(item.content) is str else None
            shown = item if text is None else _shown.with_field(item, number_of(text))
            return blob_of(shown, register_new=self._register_new)
        return blob_of(_shown(item, 1, self._elements.text), register_new=self._register_new)

    def _text(self, text: str) -> Text:
        """Where a text stands, after it was made an element if it was none."""
        known_place = self._elements.text(text)
        if known_place is None:
            number, _ = self.number(encode(text))
            known_place = Text(number, False)
            self._made_texts.append((text, known_place))
        return known_place

    def plain_blob(self, item: Any, blob: bytes) -> bytes:
        """The bytes of a value on its own, given those that `blob` returned."""
        again = type(item) in known or _TAG in blob
        return blob_of(item, register_new=self._register_new) if again else blob

    def number(self, blob: bytes) -> tuple[int, bool]:
        """The element of these bytes, and whether it is a new one."""
        number = self._elements.recent.get(blob)
        if number is None:
            number = self._local.get(blob)
        if number is not None:
            return number, False
        number = self._local[blob] = self.next
        self.blobs.append(blob)
        self.next += 1
        return number, True

    def keep(self, value: Any) -> Kept:
        """What a record has for a value."""
        if type(value) is list and by_items(value):
            return ranges_of([self.item(item, self.blob(item)) for item in value]).tolist()
        if value is None:
            return None
        # Graph input: what is in it comes again in a list of messages, and some texts in many.
        blob = blob_of(_shown(value, INPUT_DEPTH, self._text), register_new=self._register_new)
        return blob if len(blob) <= INLINE_BYTES_MAX else self.number(blob)[0]

    def item(self, item: Any, blob: bytes) -> int:
        """The element of an item of a list."""
        number, is_new = self.number(blob)
        if is_new and len(blob) > TEXT_LEN_MIN and type(item) in known and type(item.content) is str:
            self._made_texts.append((item.content, Text(number, True)))
        return number

    def shorten(self, ranges: Ranges) -> list[Any]:
        """Ranges for a record: many are kept as elements, which the next record names again."""
        end = len(ranges) - len(ranges) % NODE_NUMBERS if len(ranges) > NODE_NUMBERS else 0
        nodes = []
        for at in range(0, end, NODE_NUMBERS):
            blob = encode(ranges[at : at + NODE_NUMBERS].tolist())
            number = self._elements.node(blob)
            if number is None:
                number = self._made_nodes[blob] = self.number(blob)[0]
            nodes.append(number)
        return [nodes, *ranges[end:]] if nodes else ranges.tolist()

    def take(self) -> tuple[int, list[bytes]]:
        """The first number and the bytes of what came since the last call, for one record."""
        first, blobs = self._first, self.blobs
        self._first, self.blobs = self.next, []
        return first, blobs

    def stands(self, first: int, key: str) -> None:
        """The record that holds the elements from `first` on."""
        self._records.append((first, key))

    def next_batch(self) -> New:
        """After this one was committed: for what comes next."""
        self.committed()
        return New(self._elements, register_new=self._register_new)

    def committed(self) -> None:
        """All of it is in the store."""
        elements = self._elements
        for blob, number in self._made_nodes.items():
            elements.remember_node(blob, number)
        if self.next == elements.next:
            return
        for first, key in self._records:
            elements.found_in(first, key)
        elements.remember(self._local)
        if self._made_texts:
            elements.remember_texts(self._made_texts)
        elements.next = self.next
