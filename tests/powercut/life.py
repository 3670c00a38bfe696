"""One writer from its start to its end, by a cut or by a kill."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crash.child import environment
from powercut.volume import Volume

KILLED, BUS_ERROR = -9, -7
_STIRRED = 0.5
# How long a writer goes on in a file system that is gone. Its ring may be gone too: that is the bus error.
_AFTER_S = 0.01


@dataclass(frozen=True)
class Way:
    """How a writer lives and ends.

    Attributes:
        cut: the power goes; else only the writer is killed.
        early: perhaps before it has opened the store.
        mapped: its ring, as `spellkeep.open` takes it.
    """

    cut: bool
    early: bool
    mapped: bool | None


@dataclass(frozen=True)
class End:
    """What is left of a writer.

    Attributes:
        at_ns: monotonic time just before its end.
        by_itself: it ended before that.
        incarnation: of its store; None when it had perhaps not opened it.
    """

    said: bytes
    at_ns: int
    by_itself: bool
    status: int
    stderr: str
    incarnation: bytes | None


@dataclass
class Lives:
    """Starts writers, one after the other.

    Attributes:
        module: what they run.
        alive_s: longest time that one lives after it has opened the store.
        startup_s: how long the last one took until then.
    """

    module: str = "powercut.writer"
    alive_s: float = 0.12
    startup_s: float = 0.2

    def live(self, volume: Volume, store: Path, settings: dict[str, Any], how: Way, rng: random.Random) -> End:
        """A life with these settings, which powercut.writer names."""
        reading, writing = os.pipe()
        begun = time.monotonic()
        writer = subprocess.Popen(
            [sys.executable, "-m", self.module, json.dumps({**settings, "pipe": writing})],
            pass_fds=[writing],
            env=environment(),
            stderr=subprocess.PIPE,
        )
        os.close(writing)
        said = bytearray()
        with writer, open(reading, "rb", buffering=0) as pipe:
            try:
                self._wait(volume, store, reading, said, how, rng, begun)
                known = None if how.early else incarnation(store)
                by_itself, at_ns = writer.poll() is not None, time.monotonic_ns()
                if how.cut:
                    volume.cut()
                    _hear(reading, said, time.monotonic() + rng.uniform(0, _AFTER_S))
            finally:
                writer.kill()
            while more := pipe.read(1 << 20):
                said += more
            assert writer.stderr is not None
            stderr = writer.stderr.read().decode()
        return End(bytes(said), at_ns, by_itself, writer.wait(), stderr, known)

    def _wait(
        self, volume: Volume, store: Path, reading: int, said: bytearray, how: Way, rng: random.Random, begun: float
    ) -> None:
        """Listen until the moment comes."""
        share, stir_share, stirred = rng.random(), rng.uniform(0, 0.9), rng.random() < _STIRRED
        if how.early:
            _hear(reading, said, begun + share * 1.5 * self.startup_s)
        elif _hear(reading, said, None):
            ready = time.monotonic()
            self.startup_s = ready - begun
            if stirred and how.cut:
                _hear(reading, said, ready + stir_share * share * self.alive_s)
                volume.stir(store, rng)
            _hear(reading, said, ready + share * self.alive_s)


def _hear(reading: int, said: bytearray, until: float | None) -> bool:
    """Read until that moment, or else until the first line. False at the end of the pipe."""
    while until is None or time.monotonic() < until:
        timeout = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([reading], [], [], timeout)[0]:
            return True
        more = os.read(reading, 1 << 20)
        if not more:
            return False
        said += more
        if until is None:
            return True
    return True


def incarnation(store: Path) -> bytes:
    """As the manifest has it (docs/format.md). It changes with each opening that finds another page cache."""
    return (store / "MANIFEST").read_bytes()[56:64]
