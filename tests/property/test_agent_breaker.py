"""The circuit breaker against a model that knows nothing but the list of all that happened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellkeep.agent.breaker import BreakerOptions, CircuitBreaker
from spellkeep.errors import LimitExceeded

Event = tuple[str, float]
OPTIONS = st.integers(1, 6).flatmap(
    lambda samples: st.builds(
        BreakerOptions,
        samples_min=st.just(samples),
        window_count=st.integers(samples, 8),
        failure_ratio=st.sampled_from([0.01, 0.25, 0.5, 0.75, 1.0]),
        open_s=st.sampled_from([0.0, 1.0, 10.0]),
        probe_count=st.integers(1, 3),
    )
)
# Seconds that pass, and how the attempts end that may be made then.
MOVES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 5.0]), st.sampled_from(["ok", "failed", "abandoned"])), max_size=60
)


def judged(options: BreakerOptions, events: list[Event], now: float) -> str:
    """The state after these attempts, by going through all of them from the first on."""
    state, since, begin, probes = "closed", 0.0, 0, 0
    for index, (outcome, at) in enumerate(events):
        if outcome == "abandoned":
            continue
        if state == "closed":
            window = [each for each, _ in events[begin : index + 1] if each != "abandoned"][-options.window_count :]
            share = window.count("failed") / len(window)
            if outcome == "failed" and len(window) >= options.samples_min and share >= options.failure_ratio:
                state, since, probes = "open", at, 0
        elif outcome == "failed":
            since, probes = at, 0
        else:
            probes += 1
            if probes == options.probe_count:
                state, begin = "closed", index + 1
    if state == "open" and now >= since + options.open_s:
        return "half_open"
    return state


@given(OPTIONS, MOVES)
def test_the_breaker_is_what_its_whole_story_says(options: BreakerOptions, moves: list[tuple[float, str]]) -> None:
    now = 0.0
    breaker = CircuitBreaker(options, lambda: now)
    events = list[Event]()
    for seconds, outcome in moves:
        now += seconds
        state = judged(options, events, now)
        assert breaker.state == state
        assert (breaker.retry_in_s > 0) == (state == "open")
        assert breaker.allow() == (state != "open")
        if state == "open":
            continue
        # Half open, one at a time.
        assert breaker.allow() == (state == "closed")
        {"ok": breaker.succeeded, "failed": breaker.failed, "abandoned": breaker.abandoned}[outcome]()
        events.append((outcome, now))
    assert breaker.state == judged(options, events, now)


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
        {"open_s": -1.0},
        {"probe_count": 0},
        {"probe_count": 10_001},
    ],
)
def test_options_beyond_their_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        BreakerOptions(**wrong)  # type: ignore[arg-type]
    assert caught.value.code == "autosave.option"


def test_options_at_their_limits_are_taken() -> None:
    BreakerOptions(samples_min=1, window_count=10_000, failure_ratio=1.0, open_s=0.0, probe_count=10_000)
