"""What a writer told through its pipe, read back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from crash.ops import Op


@dataclass
class Said:
    """An operation of one thread; the rest only if it came back.

    Attributes:
        at_ns: monotonic time just after it came back.
        durable: the highest version that the store called durable then.
        after, upto: the versions that it wrote lie above ``after`` and not above ``upto``.
    """

    op: Op
    result: Any = None
    acknowledged: bool = False
    at_ns: int = 0
    durable: int = 0
    after: int = 0
    upto: int = 0


@dataclass
class Told:
    """Everything that the lives of writers between two checks told.

    Attributes:
        durable: the highest version that a store called durable when it had been opened.
        failures: what failed, and when (monotonic nanoseconds).
    """

    threads: dict[int, list[Said]] = field(default_factory=dict)
    durable: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)

    def hear(self, raw: bytes, end_ns: int) -> None:
        """Add the lines of one writer, which ended at `end_ns`. Its threads have numbers that no earlier one had."""
        for line in raw.splitlines():
            thread, what, *rest = json.loads(line)
            events = self.threads.setdefault(thread, [])
            if what == "does":
                events.append(Said(Op.from_plain(rest[0])))
            elif what == "done":
                result, at_ns, durable, after, upto = rest
                events[-1] = Said(events[-1].op, result, True, at_ns, durable, after, upto)
            elif what == "ready":
                durable, at_ns = rest
                self.durable = max(self.durable, durable if at_ns < end_ns else 0)
            else:
                self.failures.append((rest[1], rest[0]))
