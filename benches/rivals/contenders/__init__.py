"""Who takes part, and beside which of ours."""

from __future__ import annotations

import importlib

from rivals.contenders.protocol import Contender

_LISTED = (
    ("ours", "Interval"),
    ("ours", "Process"),
    ("ours", "Sync"),
    ("by_hand", "PackedDict"),
    ("by_hand", "ByHand"),
    ("sqlite", "Normal"),
    ("sqlite", "Full"),
    ("lmdb", "NoSync"),
    ("lmdb", "Synced"),
    ("rocksdb", "Rocksdb"),
    ("diskcache", "Diskcache"),
    ("shelve", "Shelf"),
    ("redis", "Redis"),
    ("langgraph", "Memory"),
    ("langgraph", "Sqlite"),
)


def load(listed: tuple[tuple[str, str], ...] = _LISTED) -> tuple[list[type[Contender]], list[str]]:
    """Those that can run here, and a line for each that cannot."""
    found: list[type[Contender]] = []
    skipped: list[str] = []
    for module, name in listed:
        try:
            contender = getattr(importlib.import_module(f"rivals.contenders.{module}"), name)
        except ModuleNotFoundError as failure:
            needed = failure.name or str(failure)
            skipped.append(f"SKIPPED {module}.{name}: {needed} is not installed (benches/rivals/requirements.txt)")
            continue
        if lacks := contender.missing():
            skipped.append(f"SKIPPED {contender.name}: {lacks}")
        else:
            found.append(contender)
    return found, skipped


def ours_for(contender: type[Contender]) -> str:
    """Which of our own contenders keeps as much as that one, by its name in the tables."""
    return "Spellkeep, sync" if contender.survives == "power" else "Spellkeep, interval"
