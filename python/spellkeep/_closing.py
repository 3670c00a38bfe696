"""Closing what is still open when the interpreter ends."""

from __future__ import annotations

import atexit
import sys
import weakref
from typing import Protocol

from spellkeep.errors import StateError


class _Open(Protocol):
    def close(self) -> None: ...


# By identity. Not a WeakSet: that cannot be walked while another thread adds to it, and daemon threads run at exit.
_open_stores: weakref.WeakValueDictionary[int, _Open] = weakref.WeakValueDictionary()


def close_at_exit(store: _Open) -> None:
    """Close it when the interpreter ends, if it is still there."""
    _open_stores[id(store)] = store


@atexit.register
def _close_all() -> None:
    for known in _open_stores.valuerefs():
        store = known()
        if store is None:
            continue
        try:
            store.close()
        except StateError as failure:
            # Nobody is left to catch it, and the other stores are to be closed as well.
            sys.excepthook(type(failure), failure, failure.__traceback__)
