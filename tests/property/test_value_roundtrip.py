"""Random values of every supported type come back the same, down to types, order and bits."""

from __future__ import annotations

import datetime as dt
import struct
import zoneinfo
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from spellkeep.errors import StateError
from spellkeep.value import Limits, Tagged, changed, decode, encode

ZONES = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.builds(
        lambda micros: dt.timezone(dt.timedelta(microseconds=micros)),
        st.integers(1 - 86_400 * 10**6, 86_400 * 10**6 - 1),
    ),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]).map(zoneinfo.ZoneInfo),
)
TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
FLOATS = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0]) | st.floats()
FOLDS = st.sampled_from([0, 1])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    FLOATS,
    TEXT,
    st.binary(max_size=300),
    st.binary(max_size=40).map(bytearray),
    st.builds(lambda at, fold: at.replace(fold=fold), st.datetimes(timezones=ZONES), FOLDS),
    st.builds(lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.times(), ZONES, FOLDS),
    st.dates(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.builds(complex, FLOATS, FLOATS),
)
DTYPES = st.one_of(
    st_numpy.boolean_dtypes(),
    st_numpy.integer_dtypes(endianness="?"),
    st_numpy.unsigned_integer_dtypes(endianness="?"),
    st_numpy.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    st_numpy.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    st_numpy.datetime64_dtypes(endianness="?"),
    st_numpy.timedelta64_dtypes(endianness="?"),
    st_numpy.byte_string_dtypes(),
    st_numpy.unicode_string_dtypes(endianness="?"),
)
ARRAYS = st_numpy.arrays(DTYPES, st_numpy.array_shapes(min_dims=0, max_side=5)) | st.builds(
    np.asfortranarray, st_numpy.arrays("i4", (3, 4))
)
HASHABLE = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXT, st.binary(max_size=9), st.dates()
    ),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXT, inner, max_size=20),
        st.dictionaries(HASHABLE, inner, max_size=5),
        st.sets(HASHABLE, max_size=5),
        st.frozensets(HASHABLE, max_size=5),
        st.builds(Tagged, st.text("abc", min_size=1), st.integers(0, 2**32 - 1), inner),
    ),
    max_leaves=25,
)


def assert_same(value: Any, back: Any) -> None:
    """Equality of types all the way down, of float bits, of zones, and of order."""
    assert type(back) is type(value), (value, back)
    if isinstance(value, float):
        assert struct.pack("<d", back) == struct.pack("<d", value)
    elif isinstance(value, complex):
        assert_same(value.real, back.real)
        assert_same(value.imag, back.imag)
    elif isinstance(value, list | tuple):
        assert len(back) == len(value)
        for mine, theirs in zip(value, back, strict=True):
            assert_same(mine, theirs)
    elif isinstance(value, dict):
        assert_same(list(value), list(back))
        assert_same(list(value.values()), list(back.values()))
    elif isinstance(value, set | frozenset):
        assert back == value
        assert sorted(map(repr, map(type, back))) == sorted(map(repr, map(type, value)))
    elif isinstance(value, np.ndarray):
        assert (back.dtype.str, back.shape) == (value.dtype.str, value.shape)
        assert back.tobytes() == value.tobytes()
        assert back.flags.f_contiguous == value.flags.f_contiguous
    elif isinstance(value, dt.datetime | dt.time):
        assert (repr(back), back.fold) == (repr(value), value.fold)
    elif hasattr(value, "as_tuple"):
        assert back.as_tuple() == value.as_tuple()
    else:
        assert back == value


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_every_value_comes_back_the_same(value: Any) -> None:
    data = encode(value)
    assert_same(value, decode(data))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.integers(0, 5))
def test_a_value_inside_of_an_unknown_tag_is_the_same_value(value: Any, padding: int) -> None:
    data = encode(["x" * padding, Tagged("unknown", 1, value)])
    back = decode(data)
    assert encode(back) == data
    assert_same(value, back[1].payload)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_bytes_decode_or_are_refused_and_nothing_else(value: Any, edits: list[tuple[int, int]]) -> None:
    data = bytearray(encode(value))
    for place, byte in edits:
        data[place % len(data)] = byte
    try:
        decode(bytes(data))
    except StateError as error:
        assert error.code.startswith("value.")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_decode_or_are_refused_and_nothing_else(body: bytes) -> None:
    for data in (body, b"\xc1\x01" + body, b"\xc1\x02" + body):
        try:
            decode(data)
        except StateError as error:
            assert error.code.startswith("value.")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES, st.integers(0, 4), st.integers(0, 30), st.integers(0, 60), st.integers(0, 200))
def test_limits_never_let_a_larger_value_through(value: Any, depth: int, items: int, string: int, total: int) -> None:
    limits = Limits(depth_max=depth, items_max=items, string_bytes_max=string, value_bytes_max=total)
    try:
        data = encode(value, limits=limits)
    except StateError as error:
        assert error.code in {"value.depth", "value.items", "value.string_bytes", "value.total_bytes"}
    else:
        assert len(data) <= total
        assert data == encode(value)


@given(st.lists(VALUES, max_size=4), st.data())
def test_a_value_has_changed_if_and_only_if_its_bytes_would_be_others(values: list[Any], data: st.DataObject) -> None:
    others = [data.draw(st.just(decode(encode(value))) | st.sampled_from(values) | VALUES) for value in values]
    expected = [at for at, pair in enumerate(zip(values, others, strict=True)) if encode(pair[0]) != encode(pair[1])]
    assert changed(values, others) == expected
    assert changed(others, values) == expected
