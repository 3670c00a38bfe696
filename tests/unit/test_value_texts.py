"""`uuid_bytes` and `time_us`: ids and times that are text, as bytes and numbers, if they can be spelled again."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellkeep.value import time_us, uuid_bytes

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
TIME = "2026-02-28T23:59:59.000001+00:00"


@given(st.uuids())
def test_a_uuid_is_its_bytes(each: uuid.UUID) -> None:
    assert uuid_bytes(str(each)) == each.bytes


@pytest.mark.parametrize(
    "other",
    [
        "",
        ID[:-1],
        ID + "0",
        ID.upper(),
        ID.replace("-", ""),
        "{" + ID[1:-1] + "}",
        ID[:-1] + "g",
        ID[:-1] + "é",
        "\ud800",
    ],
)
def test_another_text_is_no_uuid(other: str) -> None:
    assert uuid_bytes(other) is None


@given(st.integers(0, 35), st.one_of(st.characters(), st.sampled_from("0123456789abcdefABCDEF-")))
def test_one_other_character_gives_what_the_text_can_be_made_of_again(at: int, character: str) -> None:
    text = ID[:at] + character + ID[at + 1 :]
    raw = uuid_bytes(text)
    assert raw is None or str(uuid.UUID(bytes=raw)) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_its_microseconds(moment: datetime) -> None:
    expected = (moment - EPOCH) // timedelta(microseconds=1) if moment.microsecond else None
    assert time_us(moment.isoformat()) == expected


@given(st.integers(0, 31), st.sampled_from("0123456789-:.T+ Z٣"))
def test_one_other_character_gives_what_the_time_can_be_spelled_from_again(at: int, character: str) -> None:
    text = TIME[:at] + character + TIME[at + 1 :]
    found = time_us(text)
    try:
        since = datetime.fromisoformat(text) - EPOCH
        is_usual = (EPOCH + since).isoformat() == text and len(text) == 32
        expected = since // timedelta(microseconds=1) if is_usual else None
    except (ValueError, TypeError):
        expected = None
    assert found == expected


@pytest.mark.parametrize("date", ["1900-02-29", "2023-02-29", "2024-04-31", "2024-00-10", "2024-13-01", "0000-01-01"])
def test_a_day_that_is_not_there_is_no_time(date: str) -> None:
    assert time_us(f"{date}T00:00:00.000001+00:00") is None
    assert time_us("2000-02-29T00:00:00.000001+00:00") is not None


@pytest.mark.parametrize("other", [None, 5, datetime(2026, 1, 1, tzinfo=UTC), b"2026", "\ud800"])
def test_what_is_no_text_of_a_time_is_none(other: object) -> None:
    assert time_us(other) is None
