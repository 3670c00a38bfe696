"""The slowest of many acknowledged writes: ``python benches/tails.py --json FILE``.

200,000 sets a second, each due at its time whether or not the one before was late; a sync every 20 ms; checkpoints as
often as the store's own thread can make them. A second Python thread that asked for them would be measured too: each
time it wants the interpreter's lock the writer hands it over, which takes 100 us and more.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from array import array
from pathlib import Path
from time import perf_counter_ns

import spellkeep
from rivals import machine
from rivals.alone import finish, options
from rivals.results import Goal, Results
from rivals.stats import clock_cost_ns, percentile
from rivals.values import Feed
from spellkeep import StateScope

PER_S = 200_000
KEYS = 1_000
CHECKPOINT_LOG_BYTES = 1 << 20


def paced(handle: spellkeep.store.ScopeHandle, count: int) -> tuple[array[int], array[int]]:
    """Times of `count` sets: of the call, and from the moment when it was to begin."""
    feed = Feed([f"run/{number:04}" for number in range(KEYS)], 120)
    calls = feed.writes(count)
    took, late = array("q", bytes(8 * count)), array("q", bytes(8 * count))
    put, clock, step_ns = handle.set, perf_counter_ns, 1_000_000_000 // PER_S
    due = clock() + 1_000_000
    for at, (key, value) in enumerate(calls):
        begun = clock()
        while begun < due:
            begun = clock()
        put(key, value)
        ended = clock()
        took[at] = ended - begun
        late[at] = ended - due
        due += step_ns
    return took, late


def main() -> int:
    """Measure and write."""
    chosen = options("Tail latency of acknowledged sets.", quick="2 seconds instead of 20").parse_args()
    seconds = 2 if chosen.quick else 20
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=chosen.folder) as made:
        folder = Path(made)
        where = machine.describe(folder)
        with spellkeep.open(folder / "state", checkpoint_log_bytes=CHECKPOINT_LOG_BYTES) as state:
            handle = state.scope(StateScope.agent("scout"))
            paced(handle, PER_S // 4)
            gc.collect()
            gc.freeze()
            before = state.stats()
            took, late = paced(handle, PER_S * seconds)
            after = state.stats()
            gc.unfreeze()
    took_sorted, late_sorted = sorted(took), sorted(late)
    syncs, checkpointed = after.sync_count - before.sync_count, after.checkpoint_count - before.checkpoint_count
    method = (
        f"{PER_S:,} sets of 120 B a second for {seconds} s, due whether or not the one before was late; "
        f"{syncs} syncs (every 20 ms) and {checkpointed} checkpoints meanwhile, "
        "one begun as soon as the log has grown by 1 MiB. "
        f"Timing one adds {clock_cost_ns():.0f} ns, left in."
    )
    results = Results("tails", "The slowest writes", method, where)
    for name, percent, at_most in (
        ("p50", 50.0, None),
        ("p99", 99.0, None),
        ("p99.9", 99.9, 15.0),
        ("p99.99", 99.99, 60.0),
        ("slowest", 100.0, None),
    ):
        figure = percentile(took_sorted, percent) / 1000
        definition = f"of {len(took):,} single acknowledged sets, the time of the call"
        note = f"{percentile(late_sorted, percent) / 1000:.1f} us counted from when it was due."
        results.goals.append(Goal(f"{name} of a set", definition, figure, "us", at_most=at_most, note=note))
    return finish(results, chosen.json)


if __name__ == "__main__":
    sys.exit(main())
