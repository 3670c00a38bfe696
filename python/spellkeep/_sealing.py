"""The keys that seal sensitive values, as callers give them."""

from __future__ import annotations

from collections.abc import Sequence

from spellkeep.errors import LimitExceeded

_KEY_BYTES = 32


def checked_keys(given: Sequence[bytes] | None) -> list[bytes] | None:
    """The keys, if they are some; None: there are none.

    Raises: LimitExceeded (store.option), which does not show them.
    """
    if given is None:
        return None
    whole: object = given
    if not isinstance(whole, list | tuple):
        raise LimitExceeded("sealing_keys is a list of keys: sealing_keys=[key]", code="store.option")
    keys = list(given)
    for key in keys:
        if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
            what = f"{len(key)} bytes" if isinstance(key, bytes) else type(key).__name__
            detail = f"a sealing key is {_KEY_BYTES} bytes, as secrets.token_bytes({_KEY_BYTES}) makes them, not {what}"
            raise LimitExceeded(detail, code="store.option")
    return keys or None
