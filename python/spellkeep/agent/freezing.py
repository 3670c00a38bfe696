"""A state that no longer changes with its agent: encoded by its items, in the thread that may look at it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from spellkeep.errors import LimitExceeded, NotSerializable
from spellkeep.value import Limits, decode, encode

Frozen: TypeAlias = "dict[Any, list[bytes] | dict[Any, bytes] | bytes]"

# What the store allows is decided when it is saved; here nothing is refused that a store could be told to allow.
_WIDE = Limits(depth_max=512, items_max=1 << 40, string_bytes_max=1 << 30, value_bytes_max=1 << 30)


def freeze(state: Any) -> Frozen:
    """Take a state as it is now.

    Raises: TypeError when it is no mapping; NotSerializable, LimitExceeded (value.*).
    Cost: one walk.
    """
    if not isinstance(state, Mapping):
        if inspect.iscoroutine(state):
            state.close()
        raise TypeError(f"get_state() gives a mapping of names to values, and gave a {type(state).__name__}")
    frozen: Frozen = {}
    for name, part in state.items():
        try:
            frozen[name] = _frozen(part)
        except (LimitExceeded, NotSerializable) as error:
            error.add_note(f"in {name!r} of the state")
            raise
    return frozen


def _frozen(part: Any) -> list[bytes] | dict[Any, bytes] | bytes:
    # By items, as they are saved: a conversation as a whole may be larger than one value.
    if type(part) is list:
        return [encode(each, limits=_WIDE) for each in part]
    if type(part) is dict:
        return {name: encode(value, limits=_WIDE) for name, value in part.items()}
    return encode(part, limits=_WIDE)


def thaw(frozen: Frozen) -> dict[Any, Any]:
    """The state again."""
    return {name: _thawed(part) for name, part in frozen.items()}


def _thawed(part: list[bytes] | dict[Any, bytes] | bytes) -> Any:
    if isinstance(part, list):
        return [decode(each) for each in part]
    if isinstance(part, dict):
        return {name: decode(value) for name, value in part.items()}
    return decode(part)


class Clock:
    """Time as an `AutoSave` sees it. Tests have one of their own."""

    def now(self) -> float:
        """Seconds, going on steadily."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait before another attempt."""
        time.sleep(seconds)

    def receive(self, inbox: SimpleQueue[Any], timeout_s: float | None) -> Any:
        """The next message; None when there is none for so long."""
        try:
            return inbox.get(timeout=timeout_s)
        except Empty:
            return None
