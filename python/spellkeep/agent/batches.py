"""Writing more than one batch takes."""

from __future__ import annotations

from typing import Any

from spellkeep.batch import Batch
from spellkeep.errors import LimitExceeded
from spellkeep.handle import ScopeHandle

_OPERATIONS = 10_000


class Batches:
    """Any number of changes of one scope, committed as they come: for what may be left half done by a crash."""

    def __init__(self, handle: ScopeHandle) -> None:
        self._handle = handle
        self._batch = Batch(handle.store)

    def set(self, key: str, value: Any) -> None:
        """Set an entry, now or with later changes."""
        try:
            self._batch.set(self._handle.scope, key, value)
        except LimitExceeded as refusal:
            if refusal.code != "batch.bytes" or not len(self._batch):
                raise
            self.commit()
            self._batch.set(self._handle.scope, key, value)
        self._commit_if_long()

    def delete(self, key: str) -> None:
        """Remove an entry, now or with later changes."""
        self._batch.delete(self._handle.scope, key)
        self._commit_if_long()

    def _commit_if_long(self) -> None:
        if len(self._batch) >= _OPERATIONS:
            self.commit()

    def commit(self) -> None:
        """Write what is not written yet, without waiting for a sync."""
        self._batch.commit(acknowledge=False)
        self._batch = Batch(self._handle.store)
