"""`bundle`: a list and encoded values in one run of bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spellkeep.errors import NotSerializable
from spellkeep.value import bundle, decode, encode

heads = st.lists(st.one_of(st.integers(), st.text(max_size=80), st.binary(max_size=400), st.none()), max_size=8)


def taken_apart(bundled: bytes) -> tuple[list[Any], list[bytes]]:
    """As docs/guide/langgraph.md, What is stored, says."""

    def whole(bare: bytes) -> bytes:
        return bare if bare[:1] == b"\xc1" else b"\xc1\x01" + bare

    size, begin = bundled[0], 1
    if size == 255:
        size, begin = int.from_bytes(bundled[1:5]), 5
    *head, lengths = decode(whole(bundled[begin : begin + size]))
    blobs, at = [], begin + size
    for length in lengths:
        blobs.append(whole(bundled[at : at + length]))
        at += length
    assert at == len(bundled)
    return head, blobs


@given(heads, st.lists(st.one_of(st.text(), st.lists(st.text(min_size=200), min_size=10, max_size=12)).map(encode)))
def test_what_is_bundled_can_be_taken_apart(head: list[Any], blobs: list[bytes]) -> None:
    before = list(head)
    assert taken_apart(bundle(head, blobs)) == (head, blobs)
    assert head == before


@pytest.mark.parametrize("size", range(240, 262))
def test_a_head_around_255_bytes_is_found_again(size: int) -> None:
    assert taken_apart(bundle(["x" * size], [encode(1)])) == (["x" * size], [encode(1)])


def test_a_head_that_cannot_be_kept_is_an_error_that_names_the_place() -> None:
    with pytest.raises(NotSerializable, match="register its class") as caught:
        bundle([1, object()], [])
    assert caught.value.path == "$[1]"
    with pytest.raises(TypeError):
        bundle([1], ["text"])  # type: ignore[list-item]
    # The buffer that was in use is empty again.
    assert encode([1]) == b"\xc1\x01\x91\x01"
