"""One thread of conversation: its checkpoints and pending writes, in the store and, as far as they serve, in memory."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from langgraph.checkpoint.base import WRITES_IDX_MAP, writes_sort_key

from spellkeep.adapters.langgraph.core import Core, Write
from spellkeep.adapters.langgraph.elements import Elements, Kept, New, by_items
from spellkeep.adapters.langgraph.frames import DEPTH_MAX, Frame, frame_of, record_of
from spellkeep.adapters.langgraph.held import HeldLists
from spellkeep.adapters.langgraph.keys import (
    NUMBER_WIDTH,
    bytes_uuid,
    id_text,
    number_text,
    part_text,
    text_id,
    text_number,
    thread_scope,
)
from spellkeep.adapters.langgraph.lists import Held
from spellkeep.adapters.langgraph.records import blobs_of, head_of
from spellkeep.errors import Corrupted
from spellkeep.value import bundle, uuid_bytes

_ns_text = lru_cache(256)(id_text)
FRAMES_MAX = 8
PART_WIDTH = 3
# Below what one value may have in a run of bytes.
RECORD_BYTES_MAX = 8 << 20
PULL = "~__pregel_pull, "

PendingWrite: TypeAlias = tuple[str, str, Any]


class Thread:
    """What is in memory is only what the store has; everything here runs under the core's lock."""

    def __init__(self, core: Core, thread_id: str, *, number: int | None = None) -> None:
        self._core = core
        self.id = thread_id
        number = core.thread_number(thread_id) if number is None else number
        self._is_new = number is None
        self.scope = thread_scope(number or 0)
        self._handle = core.state.scope(self.scope)
        self.elements = Elements(self._handle)
        self._order: dict[str, list[int]] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._keys: dict[int, tuple[str, str, str]] = {}
        self._writes: dict[int, list[str]] = {}
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self.held = HeldLists(self.elements)
        self._next = 0
        if number is not None:
            self._load()

    # the index

    def _load(self) -> None:
        for key in self._handle.list_keys():
            kind, has_elements = key[0].lower(), key[0].isupper()
            at = 1
            if kind in "cw":
                number = text_number(key[at : at + NUMBER_WIDTH])
                at += NUMBER_WIDTH
            if has_elements:
                self.elements.found_in(text_number(key[at : at + NUMBER_WIDTH]), key)
                at += NUMBER_WIDTH
            if kind == "e":
                continue
            if kind == "w":
                self._writes.setdefault(number, []).append(key)
                continue
            left, _, right = key[at:].partition(".")
            ns, id = text_id(right) if right else "", text_id(left)
            if ns is None or id is None:
                ns, id = head_of(self._handle[key])[10]
            self._stands(number, ns, id, key)
        for numbers in self._order.values():
            numbers.sort()
        for keys in self._writes.values():
            keys.sort(key=lambda key: key[-PART_WIDTH:])
        self.elements.count_last()

    def _stands(self, number: int, ns: str, id: str, key: str) -> None:
        if number not in self._keys:
            self._order.setdefault(ns, []).append(number)
        self._numbers[ns, id] = number
        self._keys[number] = (ns, id, key)
        self._next = max(self._next, number + 1)

    def __bool__(self) -> bool:
        """Whether there is a checkpoint."""
        return bool(self._keys)

    def has(self, number: int) -> bool:
        """Whether this checkpoint is there."""
        return number in self._keys

    def id_of(self, number: int) -> str:
        """A checkpoint's id."""
        return self._keys[number][1]

    def find(self, ns: str, id: str | None) -> int | None:
        """The number of a checkpoint, of the latest one without an id."""
        if id:
            return self._numbers.get((ns, id))
        numbers = self._order.get(ns)
        return numbers[-1] if numbers else None

    def newest_first(self, ns: str | None) -> list[int]:
        """The checkpoints of a namespace, or of all."""
        return (self._order.get(ns, []) if ns is not None else sorted(self._keys))[::-1]

    def namespaces(self) -> list[str]:
        """Those that have a checkpoint."""
        return list(self._order)

    # reading

    def frame(self, number: int) -> Frame:
        """A checkpoint; nothing of it may be changed."""
        frame = self._frames.get(number)
        if frame is not None:
            self._frames.move_to_end(number)
            return frame
        if number not in self._keys:
            raise Corrupted(
                f"{self.scope}: checkpoint {number} is named by a record and not there", code="langgraph.checkpoint"
            )
        ns, id, key = self._keys[number]
        head, elements = head_of(self._handle[key]), self.elements
        frame = frame_of(head, number, ns, id, self.frame, self._core.name, elements.lengthen)
        self._put_frame(number, frame)
        return frame

    def _put_frame(self, number: int, frame: Frame) -> None:
        self._frames[number] = frame
        while len(self._frames) > FRAMES_MAX:
            self._frames.popitem(last=False)

    def channel_values(self, frame: Frame) -> dict[str, Any]:
        """The values of a checkpoint's channels; they are the caller's alone."""
        read, handed_out = self.elements.read, self.held.handed_out
        return {
            channel: handed_out((frame.ns, channel), kept) if type(kept) is array else read(kept)
            for channel, kept in frame.values.items()
        }

    def writes(self, number: int) -> dict[tuple[str, int], tuple[str, str, Kept]]:
        """The pending writes of a checkpoint: of each task and place the path, the channel, and the value kept.

        Of two regular writes at one place the first counts, of two special ones the last.
        """
        found: dict[tuple[str, int], tuple[str, str, Kept]] = {}
        name = self._core.name
        for key in self._writes.get(number, ()):
            task, path, flat = head_of(self._handle[key])
            task = bytes_uuid(task) if type(task) is bytes else task
            for at in range(0, len(flat), 3):
                place = (task, flat[at])
                if flat[at] < 0 or place not in found:
                    found[place] = (name(path), name(flat[at + 1]), flat[at + 2])
        return found

    def pending_writes(self, number: int, channels: Iterable[str] | None = None) -> list[PendingWrite]:
        """The pending writes of a checkpoint in LangGraph's order, their values made anew."""
        if number not in self._writes:
            return []
        found = self.writes(number)
        places = sorted(found, key=lambda place: writes_sort_key(found[place][0], *place))
        return [
            (place[0], found[place][1], self.elements.read(found[place][2]))
            for place in places
            if channels is None or found[place][1] in channels
        ]

    def ancestors(self, number: int) -> Iterator[int]:
        """The checkpoint's parent, its parent, and so on, as far as they are there."""
        parent = self.frame(number).parent
        # A checkpoint that was put as its own parent has no further ones.
        while isinstance(parent, int) and parent < number:
            yield parent
            number, parent = parent, self.frame(parent).parent

    # writing

    def keep_values(
        self, ns: str, values: dict[str, Any], versions: dict[str, Any], changed: Any, base: Frame | None, new: New
    ) -> tuple[dict[str, Kept], list[tuple[str, Held]]]:
        """What the record has for each channel, and the lists that are in memory afterwards.

        A channel whose version is the parent's has the parent's value.
        """
        kept: dict[str, Kept] = {}
        lists: list[tuple[str, Held]] = []
        old, old_versions = (base.values, base.versions) if base is not None else ({}, {})
        for channel, value in values.items():
            if channel in old and channel not in changed:
                version = versions.get(channel)
                if version is not None and old_versions.get(channel) == version:
                    kept[channel] = old[channel]
                    continue
            if type(value) is list and by_items(value):
                held = self.held.keep((ns, channel), value, old.get(channel), new)
                kept[channel] = held.ranges
                lists.append((channel, held))
            else:
                kept[channel] = new.keep(value)
        return kept, lists

    def put(
        self, write: Write, frame: Frame, lists: list[tuple[str, Held]], new: New, waiting: Sequence[Any] = ()
    ) -> Any:
        """Add a checkpoint to a batch; call the result once the batch is committed.

        One of the same id is replaced, and keeps its place in the order.
        """
        number = self._numbers.get((frame.ns, frame.id))
        replaced = self._keys[number][2] if number is not None else None
        if number is None:
            number = self._next
        self.begin(write)
        parent = frame.parent
        base = self.frame(parent) if isinstance(parent, int) and parent < number else None
        if base is not None and base.depth < DEPTH_MAX:
            frame.depth = base.depth + 1
        else:
            base, frame.depth = None, 0
        key = self.put_frame(write, frame, number, base, new, replaced)
        written = []
        for part, (task, path, flat) in enumerate(waiting):
            flat = flat.copy()
            flat[2::3] = map(new.keep, flat[2::3])
            written.append(self.put_task(write, number, task, path, flat, new, part))

        def committed() -> None:
            if replaced is not None:
                self._core.forget(self.id)
                return
            self._is_new = False
            new.committed()
            self._stands(number, frame.ns, frame.id, key)
            self._put_frame(number, frame)
            if written:
                self._writes[number] = written
            for channel, held in lists:
                self.held.hold((frame.ns, channel), held)

        return committed

    def begin(self, write: Write) -> None:
        """Give a new thread its scope, with the first batch that is written to it."""
        if self._is_new:
            self.scope = thread_scope(write.new_thread(self.id))
            self._handle = self._core.state.scope(self.scope)
            self.elements.begin(self._handle)

    def put_frame(
        self, write: Write, frame: Frame, number: int, base: Frame | None, new: New, replaced: str | None
    ) -> str:
        """Add a checkpoint's record to a batch; its key."""
        id = id_text(frame.id)
        ns = "." + _ns_text(frame.ns) if frame.ns else ""
        # A hash does not tell what it was made of.
        whole = id[0] != "h" and ns[:2] != ".h"
        record = record_of(frame, number, base, whole, write.numbers, write.number, new.shorten)
        first, blobs = self._spilled(write, new)
        head = f"C{number_text(number)}{number_text(first)}" if blobs else f"c{number_text(number)}"
        key = head + id + ns
        if replaced is not None:
            self._replace(write, number, replaced, key)
        write.set(self._handle, key, bundle(record, blobs))
        if blobs:
            new.stands(first, key)
        return key

    def _spilled(self, write: Write, new: New) -> tuple[int, list[bytes]]:
        """The elements for one record; those that are too much for one get records of their own."""
        first, blobs = new.take()
        if not blobs or sum(map(len, blobs)) <= RECORD_BYTES_MAX:
            return first, blobs
        begin, size = 0, 0
        for at, blob in enumerate(blobs):
            size += len(blob)
            if size > RECORD_BYTES_MAX and at > begin:
                key = "E" + number_text(first + begin)
                write.set(self._handle, key, bundle([], blobs[begin:at]))
                new.stands(first + begin, key)
                begin, size = at, len(blob)
        return first + begin, blobs[begin:]

    def _replace(self, write: Write, number: int, old_key: str, key: str) -> None:
        """Keep the elements of a checkpoint that is replaced, and make its children's records whole."""
        blobs = blobs_of(self._handle[old_key])
        if old_key != key:
            write.batch.delete(self.scope, old_key)
        if blobs:
            first = old_key[1 + NUMBER_WIDTH : 1 + 2 * NUMBER_WIDTH]
            write.set(self._handle, "E" + first, bundle([], blobs))
        for child, (_, _, child_key) in self._keys.items():
            if child > number and self.frame(child).parent == number:
                frame = self.frame(child)
                frame.depth = 0
                record = self._handle[child_key]
                whole = head_of(record)[10] is None
                head = record_of(frame, child, None, whole, write.numbers, write.number)
                write.set(self._handle, child_key, bundle(head, blobs_of(record)))

    def put_writes(self, write: Write, number: int, task: str, path: str, flat: list[Any], new: New) -> Any:
        """Add writes of a task to a batch, without those that are there; call the result once it is committed.

        Args:
            flat: place, channel, value; place, channel, value; ...
        """
        keys = self._writes.get(number, ())
        if keys:
            there = {place[1] for place in self.writes(number) if place[0] == task}
            places = [at for at in range(0, len(flat), 3) if flat[at] < 0 or flat[at] not in there]
            flat = [part for at in places for part in flat[at : at + 3]]
        if not flat:
            return None
        flat[2::3] = map(new.keep, flat[2::3])
        key = self.put_task(write, number, task, path, flat, new, len(keys))

        def committed() -> None:
            new.committed()
            self._writes.setdefault(number, []).append(key)

        return committed

    def put_task(self, write: Write, number: int, task: str, path: str, flat: list[Any], new: New, part: int) -> str:
        """Add one record of writes to a batch; its key. Values are kept already."""
        flat = flat.copy()
        flat[1::3] = map(write.number, flat[1::3])
        first, blobs = self._spilled(write, new)
        head = f"W{number_text(number)}{number_text(first)}" if blobs else f"w{number_text(number)}"
        key = head + part_text(part)
        # Other paths have the ids of tasks in them.
        kept_path = write.number(path) if path.startswith(PULL) and path.count(",") == 1 else path
        write.set(self._handle, key, bundle([uuid_bytes(task) or task, kept_path, flat], blobs))
        if blobs:
            new.stands(first, key)
        return key


def flat_writes(writes: Sequence[tuple[str, Any]]) -> list[Any]:
    """Writes with their places: special channels have places of their own."""
    flat: list[Any] = []
    for at, (channel, value) in enumerate(writes):
        flat += (WRITES_IDX_MAP.get(channel, at), channel, value)
    return flat
