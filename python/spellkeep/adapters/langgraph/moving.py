"""Writing checkpoints of a thread anew: into another thread, or without those that are to go."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from spellkeep.adapters.langgraph.core import Core, Write
from spellkeep.adapters.langgraph.elements import Elements, Kept, New, names_text
from spellkeep.adapters.langgraph.lists import numbers_of, ranges_of
from spellkeep.adapters.langgraph.thread import Thread


class _Moved:
    """Elements of one thread as elements of another."""

    def __init__(self, source: Thread, new: New) -> None:
        self._elements, self._new = source.elements, new
        self._numbers: dict[int, int] = {}

    def number(self, number: int) -> int:
        if number not in self._numbers:
            self._numbers[number] = self._new.number(self._elements.plain_blob(number))[0]
        return self._numbers[number]

    def kept(self, kept: Kept) -> Kept:
        if type(kept) is bytes:
            return self._new.keep(self._elements.read(kept)) if names_text(kept) else kept
        if kept is None:
            return None
        if type(kept) is int:
            return self.number(kept)
        return ranges_of(map(self.number, numbers_of(kept)))  # type: ignore[arg-type]


def move(source: Thread, numbers: Collection[int], target: Thread, write: Write, elements: Elements) -> None:
    """Add checkpoints and their writes to a batch, each whole, so that they need no others.

    A checkpoint that the target has already stays as it is there.

    Args:
        elements: of the target, as far as they can be named.
    """
    target.begin(write)
    new = New(elements, register_new=False)
    moved = _Moved(source, new)
    first_free = target.next_number if target is not source else 0
    places = {number: first_free + number for number in sorted(numbers)}
    for number, place in places.items():
        frame = source.frame(number)
        if target is not source and target.find(frame.ns, frame.id) is not None:
            continue
        parent: Any = frame.parent
        if isinstance(parent, int):
            parent = places.get(parent, source.frame(parent).id)
        whole = dataclasses.replace(
            frame,
            parent=parent,
            depth=0,
            values={channel: moved.kept(kept) for channel, kept in frame.values.items()},
        )
        target.put_frame(write, whole, place, None, new, None)
        tasks: dict[tuple[str, str], list[Any]] = {}
        for (task, at), (path, channel, kept) in source.writes(number).items():
            tasks.setdefault((task, path), []).extend((at, channel, moved.kept(kept)))
        for part, ((task, path), flat) in enumerate(tasks.items()):
            target.put_task(write, place, task, path, flat, new, part)


def keep_only(core: Core, thread: Thread, numbers: Collection[int]) -> None:
    """Remove all other checkpoints of a thread, with their writes, in one batch."""
    write = Write(core)
    for key in core.state.list_keys(thread.scope):
        write.batch.delete(thread.scope, key)
    elements = Elements(core.state.scope(thread.scope))
    # Numbers go on, so that no key of what was removed comes again.
    elements.next = thread.elements.next
    move(thread, numbers, thread, write, elements)
    write.commit()
    core.forget(thread.id)
