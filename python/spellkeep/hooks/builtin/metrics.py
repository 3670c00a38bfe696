"""Counts and latencies of changes, as Prometheus reads them."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from spellkeep.hooks.base import Observer
from spellkeep.hooks.registered import HookStats

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Observer):
    """Counts changes by operation and kind of scope, and how long after the write they were delivered.

    Args:
        now_s: the wall clock, in seconds since the epoch.
    """

    points = ("after_set", "after_delete", "after_clear", "after_expire")

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self.counts = Counter[tuple[str, str]]()
        self._buckets = [0] * (len(_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def decide(self, context: Any) -> None:
        """Count it."""
        lag_s = max(self._now_s() - context.at.timestamp(), 0.0)
        with self._lock:
            self.counts[context.operation, context.scope.kind] += 1
            self._buckets[bisect_left(_BOUNDS_S, lag_s)] += 1
            self._sum_s += lag_s

    def quantile_s(self, part: float) -> float:
        """The bound below which this part of the latencies lies; beyond the last one, infinity. 0 of nothing."""
        with self._lock:
            wanted, seen = sum(self._buckets) * part, 0
            for bound, count in zip((*_BOUNDS_S, float("inf")), self._buckets, strict=True):
                seen += count
                if seen and seen >= wanted:
                    return bound
        return 0.0

    def text(self, hooks: Iterable[HookStats] = ()) -> str:
        """Everything in Prometheus' text format 0.0.4, with the figures of these hooks (``state.hooks.stats()``)."""
        name = "spellkeep_changes_total"
        lines = [f"# HELP {name} Changes delivered.", f"# TYPE {name} counter"]
        with self._lock:
            counts, buckets, sum_s = sorted(self.counts.items()), list(self._buckets), self._sum_s
        lines += [
            f'{name}{{operation="{operation}",scope_kind="{kind}"}} {count}' for (operation, kind), count in counts
        ]
        name = "spellkeep_delivery_seconds"
        lines += [f"# HELP {name} Time from a write to its delivery.", f"# TYPE {name} histogram"]
        total = 0
        for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), buckets, strict=True):
            total += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {total}')
        lines += [f"{name}_sum {sum_s!r}", f"{name}_count {total}"]
        stats = list(hooks)
        if stats:
            lines += self._of_hooks(stats)
        return "\n".join(lines) + "\n"

    @staticmethod
    def _of_hooks(stats: list[HookStats]) -> list[str]:
        name = "spellkeep_hook_executions_total"
        lines = [f"# HELP {name} Executions of hooks by result.", f"# TYPE {name} counter"]
        for each in stats:
            for result in ("proceeded", "modified", "cancelled", "retry", "skipped", "failed"):
                lines.append(f'{name}{{hook="{each.name}",result="{result}"}} {getattr(each, f"{result}_count")}')
        name = "spellkeep_hook_seconds"
        lines += [f"# HELP {name} Durations of hooks.", f"# TYPE {name} summary"]
        for each in stats:
            for quantile, value in (("0.5", each.p50_s), ("0.95", each.p95_s), ("0.99", each.p99_s)):
                lines.append(f'{name}{{hook="{each.name}",quantile="{quantile}"}} {value!r}')
            lines += [
                f'{name}_sum{{hook="{each.name}"}} {each.total_s!r}',
                f'{name}_count{{hook="{each.name}"}} {each.count}',
            ]
        return lines
