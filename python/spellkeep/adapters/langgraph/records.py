"""A record of a thread as one run of bytes: a head, which is a value, and the elements behind it.

Not one value with the elements inside, because a large value carries a footer that finds its parts, of some 30 bytes:
too much for what is always read whole. For the same reason values stand here without the two bytes of their envelope
while these are the usual ones.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from spellkeep.value import decode, encode

_USUAL = b"\xc1\x01"
_LONG = 0xFF


def pack(head: list[Any], blobs: list[bytes]) -> bytes:
    """The record: the head's length, the head with the lengths of the elements as its last item, the elements."""
    bare = [blob.removeprefix(_USUAL) for blob in blobs]
    raw = encode([*head, list(map(len, bare))]).removeprefix(_USUAL)
    size = len(raw)
    return b"".join((size.to_bytes(1) if size < _LONG else b"\xff" + size.to_bytes(4), raw, *bare))


def head_of(record: bytes) -> list[Any]:
    """The head that `pack` was given."""
    return _parts(record)[0]


def blobs_of(record: bytes) -> list[bytes]:
    """The elements that `pack` was given."""
    _, end, lengths = _parts(record)
    places = accumulate(lengths, initial=end)
    return [_whole(record[first:last]) for first, last in pairwise(places)]


def _parts(record: bytes) -> tuple[list[Any], int, list[int]]:
    begin = 1 if record[0] < _LONG else 5
    end = begin + (record[0] if record[0] < _LONG else int.from_bytes(record[1:5]))
    *head, lengths = decode(_whole(record[begin:end]))
    return head, end, lengths


def _whole(bare: bytes) -> bytes:
    """C1 begins an envelope and no value."""
    return bare if bare[:1] == b"\xc1" else _USUAL + bare
