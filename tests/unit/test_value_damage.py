"""Damaged or foreign bytes are refused, harmless, and call nothing."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np
import pytest

from spellkeep.errors import Corrupted, StateError
from spellkeep.value import Tagged, decode, encode, register
from value_samples import HEAD, corrupted


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xca\x00\x00\x00\x00",
        b"\x91",
        b"\x81\xa1a",
        b"\xa2a",
        b"\xc0\xc0",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x81\x90\xc0",
        b"\x82\x01\x01\x01\x02",
        b"\x82\xa1a\x01\xa1a\x02",
        b"\xc7\x03\x04\x92\x01\x01",
        b"\xd4\x7f\x00",
        b"\xd4\x03\xc0",
        b"\xc7\x00\x01",
        b"\xd6\x07\x00\x00\x00\x00",
        b"\xd4\x10\xa0",
        b"\xc7\x02\x04\x91\x90",
        b"\xd4\n1\xc0",
        b"\xc7\x03\x03\x91\x01\x01",
        b"\xd4\nx",
        b"\xd4\x02\xff",
        b"\x91" * 513 + b"\xc0",
        b"\xd4\x0b\x00",
        b"\xd4\x0e\x01",
    ],
)
def test_bytes_that_no_encoder_wrote_are_refused(body: bytes) -> None:
    assert corrupted(HEAD + body).code == "value.malformed"


def test_bytes_without_envelope_or_of_a_later_format_are_refused() -> None:
    assert corrupted(b"").code == corrupted(b"\x81\xa1a\x01").code == "value.malformed"
    assert corrupted(b"\xc1\x03\xc0").code == "value.format_version"
    with pytest.raises(TypeError):
        decode("text")  # type: ignore[arg-type]


def test_data_shaped_like_other_libraries_marks_stays_data() -> None:
    """LangChain revived user data that was shaped like its own envelope (CVE-2025-68664)."""
    for value in (
        {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {"command": "true"}},
        {
            "__reduce__": ["os.system", ["true"]],
            "py/object": "os.system",
            "py/reduce": [{"py/type": "os.system"}, ["x"]],
        },
        {"__type__": "tuple", "__class__": "builtins.eval", "$type": "x", "!!python/object/apply:os.system": ["true"]},
        {"tag": "Plan", "version": 1, "payload": {}},
        [16, b"\xa1T\x01\xc0", b"\x80\x04cos\nsystem\n.", b"\xc7\x04\x10\xa1T\x01\xc0", encode(Tagged("T", 1, 1))],
    ):
        assert decode(encode(value)) == value


def test_mutated_bytes_never_crash_and_call_nothing() -> None:
    called: list[Any] = []

    class Trap:
        def __reduce__(self) -> Any:
            called.append("reduce")
            return (print, ())

    register(Trap, encode=lambda trap: 1, decode=lambda payload, version: called.append("decode"))
    import datetime as dt
    import decimal
    import uuid

    value = {
        "text": ["é", "\ud800", "plain"],
        "n": [1, -1, 2**40, 10**40, 1.5, None, True],
        "t": (1, {2}, frozenset({3}), b"x", bytearray(b"y")),
        "d": [dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.date(2024, 1, 1), dt.time(1), dt.timedelta(1)],
        "o": [decimal.Decimal("1.5"), uuid.UUID(int=1), 1j, np.arange(4), np.array(["2020"], "M8[Y]"), np.float32(1)],
        "x": Tagged("unknown", 1, {"a": (1, 2)}),
    }
    data = encode(value)
    rng = random.Random(20_240_229)
    for _ in range(20_000):
        bytes_ = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        try:
            back = decode(bytes(bytes_))
        except StateError:
            continue
        # numpy cannot print every moment that it can hold.
        with contextlib.suppress(ValueError):
            repr(back)
    assert called == []


def test_every_single_bit_flip_decodes_or_is_an_error_of_ours() -> None:
    data = encode({"a": [1, "é", (2.5, None)], "d": Tagged("t", 2, [1]), "b": b"xyz"})
    for place in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        try:
            decode(bytes(flipped))
        except Corrupted as error:
            assert error.code in {"value.malformed", "value.format_version"}
