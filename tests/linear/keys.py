"""One key at a time: is there an order of its events, true to their times, in which each answer is right?

By locality (Herlihy and Wing, 1990) a history is linearizable if it is so key by key. The search is that of Wing and
Gong (1993), which goes on with any event that no other one ended before, with the memory of Lowe (2017): a set of
events in any order, and the state that they leave, is tried once.
"""

from __future__ import annotations

from collections.abc import Iterable

from linear.history import Event


def step(live: int, event: Event) -> int | None:
    """The live version after the event, 0 for none; or None if its answer is wrong when `live` is there."""
    if event.kind == "refused":
        return live if live == event.version != event.expected else None
    if event.expected is not None and event.expected != live:
        return None
    if event.kind == "set":
        return event.version
    if event.kind == "delete" and event.version:
        return 0 if live else None
    return live if live == event.version else None


def linearizable(events: list[Event], live: int = 0) -> bool:
    """Whether the events of one key have such an order, when it begins at version `live`."""
    events = sorted(events, key=lambda event: event.begun_ns)
    # Which events are done: all before the first number, and those whose bits are set from there on.
    start = (0, 0, live)
    tried, stack = {start}, [start]
    while stack:
        first, mask, live = stack.pop()
        if first == len(events):
            return True
        for number in _next(events, first, mask):
            after = step(live, events[number])
            if after is None:
                continue
            done_first, done_mask = first, mask | 1 << (number - first)
            while done_mask & 1:
                done_first, done_mask = done_first + 1, done_mask >> 1
            state = (done_first, done_mask, after)
            if state not in tried:
                tried.add(state)
                stack.append(state)
    return False


def _next(events: list[Event], first: int, mask: int) -> Iterable[int]:
    """The events that may come next: those that began before any that is not done had ended."""
    found, ended_ns = [], None
    for number in range(first, len(events)):
        if mask >> (number - first) & 1:
            continue
        event = events[number]
        if ended_ns is not None and event.begun_ns > ended_ns:
            break
        found.append(number)
        ended_ns = event.ended_ns if ended_ns is None else min(ended_ns, event.ended_ns)
    # The last one found is tried first: the one that ended first is the likeliest.
    return sorted(found, key=lambda number: -events[number].ended_ns)


def wrong_keys(events: list[Event]) -> list[str]:
    """A complaint for each key without such an order."""
    keys = sorted({event.key for event in events})
    return [f"{key}: no order explains its events" for key in keys if not _explained(events, key)]


def _explained(events: list[Event], key: str) -> bool:
    return linearizable([event for event in events if event.key == key])
