"""What `make pgo` takes its profile from: the calls that programs make most, on common values."""

from __future__ import annotations

import tempfile
from pathlib import Path

import spellkeep
from rivals.values import Feed
from spellkeep import StateClass, StateScope

ROUNDS = {120: 400, 1_000: 200, 10_000: 20, 100_000: 2}
MIXED = {
    "é": "schön",
    "n": [2**40, -7, 1.5, None, True, b"bytes"],
    "t": (1, "two"),
    "wide": {str(n): n for n in range(40)},
}


def main() -> None:
    """Write, read, list, remove and read back after closing."""
    with tempfile.TemporaryDirectory() as folder:
        with spellkeep.open(Path(folder)) as state:
            for size_bytes, rounds in ROUNDS.items():
                feed = Feed([f"run/{number:04}" for number in range(200)], size_bytes)
                for state_class in (StateClass.TRUSTED, StateClass.STANDARD):
                    handle = state.scope(StateScope.agent(f"{size_bytes}"), state_class=state_class)
                    for _ in range(rounds):
                        for key, value in feed.first():
                            handle.set(key, value)
                        for key in feed.reads(len(feed.keys)):
                            handle.get(key)
            scope = StateScope.session("s")
            for number in range(2_000):
                key = f"key {number % 50}"
                version = state.set(scope, key, MIXED)
                state.get(scope, key)
                state.set(scope, key, number, if_version=version, ttl_s=60)
                state.delete(scope, key)
            for _ in range(200):
                with state.batch() as batch:
                    for key, value in feed.first()[:4]:
                        batch.set(scope, key, value)
                dict(state.items(scope))
                state.list_keys(scope, "run/")
            state.checkpoint()
        with spellkeep.open(Path(folder)) as state:
            dict(state.items(scope))


if __name__ == "__main__":
    main()
