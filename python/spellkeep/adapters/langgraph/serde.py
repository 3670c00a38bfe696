"""LangGraph's serializer interface on Spellkeep's values."""

from __future__ import annotations

from typing import Any

from spellkeep.adapters.langgraph.types import blob_of
from spellkeep.value import decode


class Serde:
    """For code that asks a saver for its ``serde``: bytes that name tags, never code."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """A value as ``("spellkeep", bytes)``."""
        return "spellkeep", blob_of(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value of what `dumps_typed` returned. Raises: ValueError for any other type."""
        kind, raw = data
        if kind != "spellkeep":
            raise ValueError(f"{kind!r} bytes are not read here: import_sqlite reads those of LangGraph's savers")
        return decode(raw)
