"""A view shows what `get` gives, for random values small and large, part by part and as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spellkeep as sk
from property.test_value_roundtrip import HASHABLE, TEXT, VALUES, assert_same
from spellkeep import DictView, SequenceView, StateScope
from spellkeep.errors import Corrupted, StateError
from spellkeep.value import decode, encode, view

SCOUT = StateScope.agent("scout")
# Copies of one value on both sides of the thresholds, without the price of drawing each of them.
LARGE = st.one_of(
    st.builds(lambda item, count: [item] * count, VALUES, st.integers(0, 60)),
    st.builds(lambda item, count: (item,) * count, VALUES, st.integers(0, 60)),
    st.builds(lambda item, count: {f"key{at}": item for at in range(count)}, VALUES, st.integers(0, 60)),
    st.builds(lambda entries, item: entries | {"last": [item] * 20}, st.dictionaries(HASHABLE, VALUES), VALUES),
    st.builds(lambda item, pad: [[{"item": item, "pad": b"x" * pad}] * 20] * 3, VALUES, st.integers(0, 400)),
)
QUIET = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def assert_shows(seen: Any, value: Any) -> None:
    """Every part of a view is the part of the value."""
    if isinstance(value, dict):
        assert isinstance(seen, DictView)
        assert_same(list(value), list(seen))
        for (key, shown), part in zip(seen.items(), value.values(), strict=True):
            assert_shows(shown, part)
            # A NaN is equal to no key, in a dict as in a view.
            if key == key:
                assert_shows(seen[key], part)
    elif isinstance(value, list | tuple):
        assert isinstance(seen, SequenceView)
        assert len(seen) == len(value)
        for index, shown in enumerate(seen):
            assert_shows(shown, value[index])
            assert_shows(seen[index], value[index])
    elif isinstance(value, bytes):
        assert bytes(seen) == value
    elif isinstance(value, np.ndarray):
        assert not seen.flags.writeable or not seen.size
        assert_same(value, seen.copy("K"))
    else:
        assert_same(value, seen)


@QUIET
@given(VALUES | LARGE)
def test_a_view_shows_every_part_as_it_is(value: Any) -> None:
    assert_shows(view(encode(value)), value)


@QUIET
@given(VALUES | LARGE)
def test_to_python_gives_what_get_gives(value: Any) -> None:
    with sk.open("memory:", ring_bytes=65536) as state:
        state.set(SCOUT, "k", value)
        seen = state.view(SCOUT, "k")
        if isinstance(seen, DictView | SequenceView):
            assert_same(state.get(SCOUT, "k"), seen.to_python())
            for part, whole in zip(seen, state.get(SCOUT, "k"), strict=True):
                if isinstance(part, DictView | SequenceView):
                    assert_same(whole, part.to_python())


@QUIET
@given(LARGE, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
def test_a_view_of_damaged_bytes_shows_something_or_refuses(
    value: Any, edits: list[tuple[int, int]], from_end: bool
) -> None:
    data = bytearray(encode(value))
    for place, byte in edits:
        data[-1 - place % min(len(data), 200) if from_end else place % len(data)] = byte
    try:
        reach(view(bytes(data)))
    except StateError as error:
        assert error.code.startswith("value.")
    try:
        decode(bytes(data))
    except StateError as error:
        assert isinstance(error, Corrupted) or error.code.startswith("value.")


def reach(seen: Any, depth: int = 0) -> None:
    """Everything that a view leads to, a few levels deep."""
    if depth > 3:
        return
    if isinstance(seen, DictView):
        for key, part in list(seen.items())[:50]:
            seen.get(key)
            reach(part, depth + 1)
    elif isinstance(seen, SequenceView):
        for index in range(0, min(len(seen), 300), 7):
            reach(seen[index], depth + 1)


@QUIET
@given(st.dictionaries(TEXT | st.integers() | HASHABLE, st.integers(), max_size=80), HASHABLE, st.integers(0, 60))
def test_a_key_is_found_exactly_when_a_dict_finds_it(kept: dict[Any, int], key: Any, pad: int) -> None:
    seen = view(encode(kept | {"pad": "x" * pad * 30}))
    for wanted in [*kept, key]:
        assert seen.get(wanted, "absent") == (kept | {"pad": "x" * pad * 30}).get(wanted, "absent")
