"""Every type that can be kept comes back as what it was."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import pathlib
import resource
import struct
import subprocess
import sys
import uuid
import zoneinfo
from typing import Any

import numpy as np
import ormsgpack
import pytest

from spellkeep.value import Limits, decode, encode


def roundtrip(value: Any) -> Any:
    return decode(encode(value))


def same(value: Any) -> None:
    back = roundtrip(value)
    assert type(back) is type(value)
    assert back == value


INTEGERS = [0, 1, -1, 127, 128, 255, 256, -32, -33, -128, -129, 2**15, -(2**15), 2**16, 2**31, -(2**31), 2**32]
INTEGERS += [
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    10**30,
    -(10**30),
    2**127,
    -(2**127),
    -(2**128),
]


@pytest.mark.parametrize("value", INTEGERS)
def test_integers_of_every_width_come_back(value: int) -> None:
    same(value)


def test_an_integer_of_5000_digits_comes_back() -> None:
    same(10**5000 - 1)
    same(-(10**5000))


@pytest.mark.parametrize("bits", [0x7FF8_0000_0000_0001, 0xFFF0_0000_DEAD_BEEF, 0x7FF0_0000_0000_0001, 1 << 63, 0, 1])
def test_floats_keep_every_bit(bits: int) -> None:
    value = struct.unpack("<d", struct.pack("<Q", bits))[0]
    assert struct.pack("<d", roundtrip(value)) == struct.pack("<d", value)


@pytest.mark.parametrize("value", [0.1, -0.0, math.inf, -math.inf, 5e-324, sys.float_info.max])
def test_ordinary_floats_come_back(value: float) -> None:
    assert struct.pack("<d", roundtrip(value)) == struct.pack("<d", value)


TEXTS = ["", "a", "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65_536, "é", "ÿ" * 300, "日本語", "🦀", "a\0b"]


@pytest.mark.parametrize("value", [*TEXTS, "\ud800", "a\udfffb", "\udc80" * 300, "🦀\ud83e"])
def test_strings_come_back_also_with_lone_surrogates(value: str) -> None:
    same(value)
    assert roundtrip({value: value}) == {value: value}


@pytest.mark.parametrize("value", [b"", b"\0\xff", b"x" * 70_000, bytearray(), bytearray(b"abc"), bytearray(300)])
def test_binaries_come_back(value: bytes | bytearray) -> None:
    same(value)


@pytest.mark.parametrize(
    "value",
    [[], {}, (), set(), frozenset(), [[]], ((),), [1] * 15, [1] * 16, [None] * 70_000, {1, 2, "a"}, frozenset({(1, 2)})]
    + [{str(i): i for i in range(n)} for n in (15, 16, 70_000)]
    + [(1, [2, (3, {4: (5,)})]), [True, False, None], {"v": {"v": 1}}],
)
def test_containers_come_back(value: Any) -> None:
    same(value)


def test_tuples_stay_tuples_inside_of_everything() -> None:
    back = roundtrip({"a": [(1, (2,))], (1, 2): (3,)})
    assert type(back["a"][0]) is tuple and type(back["a"][0][1]) is tuple
    assert back[(1, 2)] == (3,)


def test_bool_and_int_are_not_confused() -> None:
    assert [type(item) for item in roundtrip([True, 1, 1.0])] == [bool, int, float]


def test_dicts_keep_their_order() -> None:
    assert list(roundtrip({"b": 1, "a": 2, 3: 3, None: 4})) == ["b", "a", 3, None]


KEYS = [
    None,
    True,
    2,
    2.5,
    "s",
    b"b",
    (1, (2,)),
    frozenset({1}),
    dt.date(2020, 1, 1),
    decimal.Decimal("1.50"),
    10**40,
    1j,
]


@pytest.mark.parametrize("key", [*KEYS, uuid.UUID(int=5), np.int8(3), np.float64(1.5)], ids=repr)
def test_any_hashable_value_can_be_a_key(key: Any) -> None:
    back = roundtrip({key: 1})
    assert back == {key: 1}
    assert type(next(iter(back))) is type(key)


def test_what_follows_the_envelope_is_messagepack_that_any_reader_can_skip_through() -> None:
    value = {"a": [1, (2, {3}), np.arange(3), None], "b": dt.date(2024, 1, 1), 5: decimal.Decimal(1)}
    data = encode(value)
    assert data[:2] == b"\xc1\x01"
    seen = ormsgpack.unpackb(data[2:], ext_hook=lambda code, _: code, option=ormsgpack.OPT_NON_STR_KEYS)
    assert seen == {"a": [1, 3, 14, None], "b": 7, 5: 10}


def test_shared_references_are_no_cycle() -> None:
    shared = [1]
    assert roundtrip([shared, shared, {"a": shared}]) == [[1], [1], {"a": [1]}]


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MOMENTS = [
    dt.datetime(2024, 2, 29, 23, 59, 59, 999_999),
    dt.datetime.min,
    dt.datetime.max,
    dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=-5, minutes=-30))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(microseconds=-1))),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "a name")),
    dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "zero")),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    dt.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    dt.datetime(2024, 10, 27, 2, 30, fold=1),
    dt.time(1, 2, 3, 4),
    dt.time(1, 2, 3, 4, tzinfo=BERLIN, fold=1),
    dt.time(23, 59, tzinfo=dt.UTC),
]


@pytest.mark.parametrize("value", MOMENTS, ids=repr)
def test_times_keep_zone_name_and_fold(value: Any) -> None:
    back = roundtrip(value)
    assert repr(back) == repr(value) and back == value
    assert back.fold == value.fold
    if value.tzinfo is BERLIN:
        assert back.tzinfo is BERLIN
    if value.tzinfo is not None:
        assert back.tzname() == value.tzname()


@pytest.mark.parametrize(
    "value",
    [dt.date(1, 1, 1), dt.date.max, dt.timedelta(0), dt.timedelta.min, dt.timedelta.max, dt.timedelta(-1, 5, 7)],
    ids=repr,
)
def test_dates_and_spans_come_back(value: Any) -> None:
    same(value)


@pytest.mark.parametrize(
    "text", ["0", "-0", "1.20", "1E+400", "-1E-400", "NaN", "sNaN", "-NaN123", "Infinity", "0E-10"]
)
def test_decimals_keep_sign_digits_and_exponent_whatever_the_context(text: str) -> None:
    value = decimal.Decimal(text)
    with decimal.localcontext(decimal.Context(prec=2, traps=[])):
        back = roundtrip(value)
    assert back.as_tuple() == value.as_tuple()


@pytest.mark.parametrize("value", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid4(), uuid.uuid1()])
def test_uuids_keep_whether_they_are_safe(value: uuid.UUID) -> None:
    back = roundtrip(value)
    assert back == value and back.is_safe == value.is_safe


@pytest.mark.parametrize("safe", list(uuid.SafeUUID))
def test_each_word_about_uuid_safety_is_kept(safe: uuid.SafeUUID) -> None:
    assert roundtrip(uuid.UUID(int=1, is_safe=safe)).is_safe is safe


def test_complex_numbers_keep_their_signs() -> None:
    assert repr(roundtrip(complex(-0.0, -0.0))) == repr(complex(-0.0, -0.0))
    same(1.5 - 2j)


DTYPES = [
    "?",
    "i1",
    "<i2",
    ">i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f8",
    "c8",
    "c16",
    "S3",
    "U2",
    ">U2",
    "M8[D]",
    "M8[25s]",
    "M8[ns]",
    "m8[us]",
    "m8",
    "M8",
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (200, 30)])
def test_arrays_keep_dtype_shape_and_values(dtype: str, shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    raw = np.arange(size).astype("u2")
    value = (raw.astype("m8[s]").astype(dtype) if dtype[0] == "m" else raw.astype(dtype)).reshape(shape)
    back = roundtrip({"pad": "x", "array": value})["array"]
    assert type(back) is np.ndarray
    assert back.dtype == value.dtype and back.dtype.str == value.dtype.str
    assert back.shape == value.shape
    assert back.tobytes() == value.tobytes()


def test_arrays_in_fortran_order_keep_values_and_order() -> None:
    value = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    back = roundtrip(value)
    assert back.flags.f_contiguous and not back.flags.c_contiguous
    assert (back == value).all()


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1], np.s_[:, 1], np.s_[1:, ::2]], ids=repr)
def test_views_are_kept_as_what_they_show(view: Any) -> None:
    value = np.arange(48).reshape(6, 8)[view]
    back = roundtrip(value)
    assert back.shape == value.shape and (back == value).all()


def test_arrays_keep_the_bits_of_nan() -> None:
    value = np.array([0x7FF8_0000_0000_0001, 0xFFF8_0000_0000_BEEF], dtype="u8").view("f8")
    assert roundtrip(value).tobytes() == value.tobytes()


def test_large_arrays_are_views_of_the_stored_bytes_and_small_ones_are_copies() -> None:
    for prefix in range(20):
        data = encode(["x" * prefix, np.arange(128.0), np.arange(127.0)])
        _, large, small = decode(data)
        address = np.frombuffer(data, "u1").__array_interface__["data"][0]
        assert address <= large.__array_interface__["data"][0] < address + len(data)
        assert not large.flags.writeable and large.flags.aligned
        assert small.flags.writeable
        assert (large == np.arange(128.0)).all() and (small == np.arange(127.0)).all()


def test_a_borrowing_array_keeps_its_bytes_alive() -> None:
    array = decode(encode(np.arange(1000)))
    junk = [encode(np.zeros(1000)) for _ in range(100)]
    assert (array == np.arange(1000)).all() and junk


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_borrowing_arrays_leak_nothing() -> None:
    """PyO3's PySlice::new leaks the two bounds of the slice, 64 bytes for each array that was read."""
    data = encode(["x" * 300, np.arange(1000)])

    def resident_bytes() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def grown_bytes(count: int) -> int:
        before = resident_bytes()
        for _ in range(count):
            decode(data)
        return resident_bytes() - before

    grown_bytes(2_000)
    # A leak shows each time; what other threads of this process take once does not.
    assert min(grown_bytes(40_000) for _ in range(3)) < 40_000 * 16


SCALARS = [np.bool_(True), np.int8(-1), np.uint64(2**64 - 1), np.float16(1.5), np.float32(0.1), np.float64(0.1)]
SCALARS += [
    np.complex64(1j),
    np.complex128(1 - 2j),
    np.str_("aé\ud800"),
    np.str_(""),
    np.bytes_(b"a\0"),
    np.bytes_(b""),
]
SCALARS += [np.datetime64("2024-01-01"), np.datetime64("NaT"), np.timedelta64(5, "ms"), np.datetime64(5, "25s")]


@pytest.mark.parametrize("value", SCALARS, ids=repr)
def test_numpy_scalars_keep_their_type(value: Any) -> None:
    back = roundtrip(value)
    assert type(back) is type(value)
    assert back.dtype == value.dtype
    assert back.tobytes() == value.tobytes()


def test_numpy_is_imported_only_when_an_array_comes_back() -> None:
    """Importing numpy takes longer than starting a small agent."""
    data = encode(np.arange(3))
    program = f"""
import sys
from spellkeep.value import decode, encode
decode(encode({{"a": [1, (2,)]}}))
try: encode(object())
except TypeError: pass
assert "numpy" not in sys.modules
decode({data!r})
assert "numpy" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_array_without_numpy_says_what_to_install() -> None:
    data = encode({"a": np.arange(3)})
    program = f"""
import sys
sys.modules["numpy"] = None
from spellkeep.errors import SchemaMismatch
from spellkeep.value import decode
try: decode({data!r})
except SchemaMismatch as error: assert error.code == "value.numpy_missing" and error.path == "$.a", error
else: raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_limits_are_a_value_with_defaults_and_ceilings() -> None:
    import copy
    import pickle

    limits = Limits(depth_max=3)
    assert limits == Limits(depth_max=3) and hash(limits) == hash(Limits(depth_max=3)) and limits != Limits()
    assert (limits.depth_max, limits.items_max) == (3, 1_000_000)
    assert (limits.string_bytes_max, limits.value_bytes_max) == (16 << 20, 64 << 20)
    assert pickle.loads(pickle.dumps(limits)) == limits == copy.copy(limits)
    assert eval(repr(limits)) == limits
    assert Limits(depth_max=512, value_bytes_max=1 << 30).depth_max == 512
    for wrong in ({"depth_max": 513}, {"depth_max": -1}, {"value_bytes_max": (1 << 30) + 1}, {"items_max": -1}):
        with pytest.raises(ValueError) as caught:
            Limits(**wrong)
        assert caught.value.code == "value.limits"
    with pytest.raises(AttributeError):
        limits.depth_max = 4  # type: ignore[misc]
