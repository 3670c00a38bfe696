"""Writing checkpoints of a thread anew: into another thread, or without those that are to go."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from spellkeep.adapters.langgraph.core import Core, Write
from spellkeep.adapters.langgraph.elements import Kept, New, names_text
from spellkeep.adapters.langgraph.lists import numbers_of, ranges_of
from spellkeep.adapters.langgraph.thread import Thread


class _Moved:
    """Elements of one thread as elements of another."""

    def __init__(self, source: Thread, new: New) -> None:
        self._elements, self.new = source.elements, new
        self._numbers: dict[int, int] = {}

    def begin(self) -> None:
        """What came so far is in the store."""
        self.new = self.new.next_batch()

    def number(self, number: int) -> int:
        if number not in self._numbers:
            self._numbers[number] = self.new.number(self._elements.plain_blob(number))[0]
        return self._numbers[number]

    def kept(self, kept: Kept) -> Kept:
        if type(kept) is bytes:
            return self.new.keep(self._elements.read(kept)) if names_text(kept) else kept
        if kept is None:
            return None
        if type(kept) is int:
            return self.number(kept)
        ranges = ranges_of(map(self.number, numbers_of(kept)))  # type: ignore[arg-type]
        # As a record of writes has it.
        return ranges.tolist() if type(kept) is list else ranges


def rewrite(core: Core, thread_id: str, parts: Sequence[tuple[Thread, Collection[int]]]) -> None:
    """Make a thread anew of checkpoints that others have, itself too, and their writes; all of it or nothing.

    It is made in a scope of its own, in as many batches as it takes. One batch then gives that scope to the thread; the
    former scope is cleared last. What a process that ends in between leaves behind is a scope that no thread has: its
    number stands under `Core.left_key`, and the next call clears it. Calling again is all there is to do.

    A checkpoint that an earlier part has is not taken again. The order is that of the parts.
    """
    former = core.thread_number(thread_id)
    number = core.new_scope(thread_id)
    target = Thread(core, thread_id, number=number)
    taken: dict[tuple[str, str], int] = {}
    for source, numbers in parts:
        _move(core, source, numbers, target, taken)
    # Before: a signal may come between any two lines, and nobody may write to the former scope behind it.
    core.forget(thread_id)
    core.give_scope(thread_id, number, former)
    core.clear_left()


def _move(
    core: Core, source: Thread, numbers: Collection[int], target: Thread, taken: dict[tuple[str, str], int]
) -> None:
    """Write checkpoints, each whole, so that they need no others.

    Args:
        taken: the numbers of those that the target has, by namespace and id; these are added.
    """
    write, moved = Write(core), _Moved(source, New(target.elements, register_new=False))

    def written() -> None:
        nonlocal write
        if write.is_long:
            write.commit()
            moved.begin()
            write = Write(core)

    first_free = max(taken.values(), default=-1) + 1
    for number in sorted(numbers):
        frame = source.frame(number)
        if (frame.ns, frame.id) in taken:
            continue
        place = taken[frame.ns, frame.id] = first_free + number
        parent: Any = frame.parent
        if isinstance(parent, int):
            of = source.frame(parent)
            parent = taken.get((of.ns, of.id), of.id)
        whole = dataclasses.replace(
            frame,
            parent=parent,
            depth=0,
            values={channel: moved.kept(kept) for channel, kept in frame.values.items()},
        )
        target.put_frame(write, whole, place, None, moved.new, None)
        written()
        tasks: dict[tuple[str, str], list[Any]] = {}
        for (task, at), (path, channel, kept) in source.writes(number).items():
            tasks.setdefault((task, path), []).extend((at, channel, moved.kept(kept)))
        for part, ((task, path), flat) in enumerate(tasks.items()):
            target.put_task(write, place, task, path, flat, moved.new, part)
            written()
    write.commit()
    moved.begin()
