"""A record of a thread, taken apart: ``spellkeep.value.bundle`` made it of a head and the elements behind it.

Values stand in it without the two bytes of their envelope while these are the usual ones.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from spellkeep.value import decode

_USUAL = b"\xc1\x01"
_LONG = 0xFF


def head_of(record: bytes) -> list[Any]:
    """The head that `bundle` was given."""
    return _parts(record)[0]


def blobs_of(record: bytes) -> list[bytes]:
    """The elements that `bundle` was given."""
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
