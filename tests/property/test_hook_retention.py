"""Which chunks of a history are kept, against a model that knows nothing but the list of all of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

import spellkeep as sk
from spellkeep import StateManager, StateScope
from spellkeep.hooks import HistoryRetention
from spellkeep.hooks.keeping import HistoryKeeper
from spellkeep.hooks.log import HookLog

HOOKS = StateScope.custom("spellkeep.hooks")
DAY_US = 86_400_000_000
FRESH = 8

# Outcomes of a chunk by their numbers: 0 proceeded, 4 skipped; the others are important.
CHUNKS = st.one_of(
    st.lists(st.sampled_from([0, 4]), min_size=1, max_size=5),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    # Long enough to be compressed.
    st.tuples(st.integers(0, 5), st.just(40)).map(lambda found: [found[0], *[0] * found[1]]),
)
ROUNDS = st.lists(
    st.tuples(
        st.lists(CHUNKS, max_size=14),
        # Days that pass, whether a new process comes, and what is to be kept.
        st.sampled_from([0.0, 0.4, 1.0, 3.0]),
        st.booleans(),
        st.builds(
            HistoryRetention,
            keep_count=st.sampled_from([None, 0, 3, 20, 60]),
            keep_days=st.sampled_from([None, 0, 1.5, 4]),
            keep_important_days=st.sampled_from([None, 0, 2, 6]),
        ),
    ),
    min_size=1,
    max_size=6,
)


@dataclass
class Known:
    number: int
    at_us: int
    outcomes: list[int]

    @property
    def important(self) -> bool:
        return any(outcome not in (0, 4) for outcome in self.outcomes)


def kept(chunks: list[Known], written: int, retention: HistoryRetention, now_us: int) -> list[Known]:
    """What is left, by the words of the guide."""
    fresh = [each for each in chunks if each.number >= written - FRESH]
    old = [each for each in chunks if each.number < written - FRESH]

    def days(each: Known) -> float:
        ordinary = float("inf") if retention.keep_days is None else retention.keep_days
        important = float("inf") if retention.keep_important_days is None else retention.keep_important_days
        return max(ordinary, important) if each.important else ordinary

    old = [each for each in old if now_us - each.at_us <= days(each) * DAY_US]
    while retention.keep_count is not None and sum(len(each.outcomes) for each in old) > retention.keep_count:
        old.remove(next((each for each in old if not each.important), old[0]))
    return old + fresh


def stored(state: StateManager) -> list[int]:
    return [int(key.rpartition("/")[2]) for key in state.list_keys(HOOKS, "history/tell/")]


@settings(max_examples=150, deadline=None)
@given(ROUNDS)
def test_what_is_kept_is_what_the_guide_says(
    rounds: list[tuple[list[list[int]], float, bool, HistoryRetention]],
) -> None:
    now_us, numbers, model = 1_700_000_000_000_000, itertools.count(), list[Known]()
    with sk.open("memory:") as state:
        log = HookLog(state, "tell")
        keeper = HistoryKeeper("tell", log)
        for chunks, days, anew, retention in rounds:
            if anew:
                log = HookLog(state, "tell")
                keeper = HistoryKeeper("tell", log)
            for outcomes in chunks:
                with patch("spellkeep.hooks.log.time.time_ns", lambda at=now_us: at * 1000), state.batch() as batch:
                    log.add(batch, [(1, 1, outcome, 1 << 63) for outcome in outcomes], {})
                log.written()
                model.append(Known(next(numbers), now_us, outcomes))
            now_us += int(days * DAY_US)
            keeper.turn(state, retention, now_us)
            model = kept(model, log.next_chunk, retention, now_us)
            assert stored(state) == [each.number for each in model]
            assert len(state.hooks.history("tell", limit=10**6)) == sum(len(each.outcomes) for each in model)
