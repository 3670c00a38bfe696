"""The circuit breaker against a model that knows nothing but the list of all that happened."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellkeep.breaker import BreakerOptions, CircuitBreaker
from spellkeep.errors import LimitExceeded

Event = tuple[str, float]
OPTIONS = st.integers(1, 6).flatmap(
    lambda samples: st.builds(
        BreakerOptions,
        samples_min=st.just(samples),
        window_count=st.integers(samples, 8),
        failure_ratio=st.sampled_from([0.01, 0.25, 0.5, 0.75, 1.0]),
        slow_ratio=st.sampled_from([None, 0.01, 0.5, 1.0]),
        open_s=st.sampled_from([0.0, 1.0, 10.0]),
        open_max_s=st.sampled_from([None, 10.0, 35.0]),
        probe_count=st.integers(1, 3),
    )
)
# Seconds that pass, and how the attempts end that may be made then.
MOVES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.0, 5.0]), st.sampled_from(["ok", "slow", "failed", "failed slow", "abandoned"])
    ),
    max_size=60,
)
# What full jitter draws each time it opens.
DRAWS = [0.5, 0.25, 1.0, 0.0, 0.75]


def judged(options: BreakerOptions, events: list[Event], now: float) -> tuple[str, float]:
    """The state after these attempts and how long it lasts, by going through all of them from the first on."""
    state, until, begin, probes, opened, again = "closed", 0.0, 0, 0, 0, 0

    def open_s() -> float:
        if options.open_max_s is None:
            return options.open_s
        return min(options.open_max_s, options.open_s * 2.0**again) * DRAWS[opened % len(DRAWS)]

    for index, (outcome, at) in enumerate(events):
        if outcome == "abandoned":
            continue
        slow_counts = "slow" in outcome and options.slow_ratio is not None
        if state == "closed":
            window = [each for each, _ in events[begin : index + 1] if each != "abandoned"][-options.window_count :]
            failed, slow = (sum(what in each for each in window) for what in ("failed", "slow"))
            bad = failed > 0 and failed / len(window) >= options.failure_ratio
            bad = bad or (options.slow_ratio is not None and slow > 0 and slow / len(window) >= options.slow_ratio)
            if outcome != "ok" and len(window) >= options.samples_min and bad:
                state, until, probes = "open", at + open_s(), 0
                opened, again = opened + 1, again + 1
        elif "failed" in outcome or slow_counts:
            until, probes = at + open_s(), 0
            opened, again = opened + 1, again + 1
        else:
            probes += 1
            if probes == options.probe_count:
                state, begin, again = "closed", index + 1, 0
    if state == "open" and now >= until:
        return "half_open", 0.0
    return state, until - now if state == "open" else 0.0


@given(OPTIONS, MOVES)
def test_the_breaker_is_what_its_whole_story_says(options: BreakerOptions, moves: list[tuple[float, str]]) -> None:
    now = 0.0
    draws = itertools.cycle(DRAWS)
    breaker = CircuitBreaker(options, lambda: now, lambda: next(draws))
    events = list[Event]()
    for seconds, outcome in moves:
        now += seconds
        state, rest_s = judged(options, events, now)
        assert (breaker.state, breaker.retry_in_s) == (state, pytest.approx(rest_s))
        assert breaker.allow() == (state != "open")
        if state == "open":
            continue
        # Half open, one at a time.
        assert breaker.allow() == (state == "closed")
        if outcome == "abandoned":
            breaker.abandoned()
        elif "failed" in outcome:
            breaker.failed(slow="slow" in outcome)
        else:
            breaker.succeeded(slow=outcome == "slow")
        events.append((outcome, now))
    assert breaker.state == judged(options, events, now)[0]


@given(st.integers(1, 30), st.integers(0, 20))
def test_successes_told_together_count_as_if_each_was_told(count: int, failures: int) -> None:
    one, other = (CircuitBreaker(BreakerOptions(samples_min=3, window_count=8), lambda: 0.0) for _ in range(2))
    one.succeeded(count)
    for _ in range(count):
        other.succeeded()
    for _ in range(failures):
        one.failed()
        other.failed()
        assert one.state == other.state


def test_few_failures_say_nothing_and_many_open_it() -> None:
    now = 0.0
    breaker = CircuitBreaker(BreakerOptions(samples_min=3, window_count=4, failure_ratio=0.5, open_s=10), lambda: now)
    for _ in range(2):
        breaker.failed()
    assert breaker.state == "closed"
    breaker.failed()
    assert (breaker.state, breaker.allow(), breaker.retry_in_s) == ("open", False, 10)
    now = 10
    assert (breaker.state, breaker.allow(), breaker.allow()) == ("half_open", True, False)
    breaker.failed()
    assert (breaker.state, breaker.retry_in_s) == ("open", 10)
    now = 20
    assert breaker.allow()
    breaker.succeeded()
    # It begins anew: the failures before do not count.
    for _ in range(2):
        breaker.failed()
    assert breaker.state == "closed"


def test_each_probe_that_fails_doubles_the_time_up_to_the_cap_and_success_begins_anew() -> None:
    now = 0.0
    options = BreakerOptions(samples_min=1, window_count=1, open_s=1, open_max_s=5)
    breaker = CircuitBreaker(options, lambda: now, lambda: 1.0)
    breaker.failed()
    for expected_s in (1, 2, 4, 5, 5):
        assert breaker.retry_in_s == expected_s
        now += expected_s
        assert breaker.allow()
        breaker.failed()
    now += 5
    assert breaker.allow()
    breaker.succeeded()
    breaker.failed()
    assert (breaker.retry_in_s, breaker.opened_count) == (1, 7)


def test_late_answers_of_attempts_from_before_it_opened_change_nothing() -> None:
    breaker = CircuitBreaker(BreakerOptions(samples_min=1, window_count=1, open_s=10), lambda: 0.0)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert (breaker.state, breaker.retry_in_s) == ("open", 10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples_min": 0},
        {"samples_min": 11},
        {"window_count": 10_001},
        {"failure_ratio": 0.0},
        {"failure_ratio": 1.01},
        {"slow_ratio": 0.0},
        {"slow_ratio": 1.01},
        {"open_max_s": 29.0},
        {"open_s": -1.0},
        {"probe_count": 0},
        {"probe_count": 10_001},
    ],
)
def test_options_beyond_their_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        BreakerOptions(**wrong)  # type: ignore[arg-type]
    assert caught.value.code == "breaker.option"


def test_options_at_their_limits_are_taken() -> None:
    BreakerOptions(samples_min=1, window_count=10_000, failure_ratio=1.0, open_s=0.0, probe_count=10_000)
