"""Start a writer, kill it at a random moment, reopen its store, check everything; again and again, from one seed."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import spellkeep
from crash.child import environment
from crash.model import Done, Finding, Model, Observed, Seen
from crash.ops import Op, all_scopes
from spellkeep import StateManager

Word = Literal["process", "interval", "sync"]
WORDS: tuple[Word, ...] = ("process", "interval", "sync")

# Checkpoints are made meanwhile, but the log stays whole: the checker reads all of it (keep_log_bytes=None below).
RING_BYTES = 64 << 10
SEGMENT_BYTES = 256 << 10
# A young store every so many kills: openings read the whole log.
_LIVES_MAX = 25
_EARLY_KILLS = 0.1


@dataclass
class Run:
    """Kills of writers with one durability, and what they showed.

    Attributes:
        alive_s: longest time that a writer lives after its first answer.
        counts: kills, acknowledged, uncertain, kept (of the uncertain), and one count per kind of finding.
    """

    word: Word
    seed: int
    folder: Path
    threads: int = 4
    alive_s: float = 0.12
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    _startup_s: float = 0.2

    def kill(self, count: int) -> None:
        """Kill so many writers, one after the other. Stops at the first kill with findings."""
        rng = random.Random(f"{self.seed}/{self.word}")
        store, model, log = "", Model(), list[Seen]()
        for life in range(count):
            if life % _LIVES_MAX == 0:
                self._check_log(store, log)
                store, model, log = str(self.folder / f"{self.word}-{life}"), Model(), []
            lives = self._life(store, life, rng)
            self._reopen(store, model, lives, log)
            self.counts["kills"] += 1
            if self.findings:
                break
        self._check_log(store, log)

    def _life(self, store: str, life: int, rng: random.Random) -> dict[int, list[Done]]:
        early = rng.random() < _EARLY_KILLS
        delay_s = rng.uniform(0, 1)
        reading, writing = os.pipe()
        settings = {
            "store": store,
            "durability": self.word,
            "seed": f"{self.seed}/{self.word}",
            "life": life,
            "threads": self.threads,
            "ring_bytes": RING_BYTES,
            "segment_bytes": SEGMENT_BYTES,
            "pipe": writing,
        }
        begun = time.monotonic()
        writer = subprocess.Popen(
            [sys.executable, "-m", "crash.writer", json.dumps(settings)],
            pass_fds=[writing],
            env=environment(),
        )
        os.close(writing)
        said = bytearray()
        deadline = begun + delay_s * self._startup_s if early else None
        with open(reading, "rb", buffering=0) as pipe:
            while True:
                timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
                if not select.select([pipe], [], [], timeout)[0]:
                    break
                raw = os.read(reading, 1 << 20)
                if not raw:
                    break
                said += raw
                # From the first answer on: on a slow disk there would be none in all the lives together.
                if deadline is None and b'"done"' in said:
                    self._startup_s = time.monotonic() - begun
                    deadline = time.monotonic() + delay_s * self.alive_s
            writer.kill()
            assert writer.wait() == -9, f"the writer ended on its own (seed {self.seed}, life {life})"
            while raw := pipe.read(1 << 20):
                said += raw
        return parse(bytes(said))

    def _reopen(self, store: str, model: Model, lives: dict[int, list[Done]], log: list[Seen]) -> None:
        with spellkeep.open(store, ring_bytes=RING_BYTES, segment_bytes=SEGMENT_BYTES, keep_log_bytes=None) as state:
            observed = observe(state, model.version, self.threads)
        acknowledged = model.counts["acknowledged"], model.counts["uncertain"]
        for finding in model.check(lives, observed):
            self.counts[finding.kind] += 1
            self.findings.append(finding)
        self.counts["acknowledged"] += model.counts["acknowledged"] - acknowledged[0]
        self.counts["uncertain"] += model.counts["uncertain"] - acknowledged[1]
        log += observed.changes

    def _check_log(self, store: str, log: list[Seen]) -> None:
        """The whole log at the end, against what it was after each kill: nothing older has changed since."""
        if not store or self.findings:
            return
        with spellkeep.open(store, ring_bytes=RING_BYTES, segment_bytes=SEGMENT_BYTES, keep_log_bytes=None) as state:
            if observe(state, 0, self.threads).changes != log:
                self.findings.append(Finding("wrong", "the log is not what it was"))


def parse(said: bytes) -> dict[int, list[Done]]:
    """What the threads of a writer said, in order. An operation without an answer is uncertain."""
    lives: dict[int, list[Done]] = {}
    for line in said.splitlines():
        thread, what, *rest = json.loads(line)
        events = lives.setdefault(thread, [])
        if what == "does":
            events.append(Done(Op.from_plain(rest[0]), acknowledged=False))
        elif what == "done":
            events[-1].result, events[-1].acknowledged = rest[0], True
    return lives


def observe(state: StateManager, since: int, threads: int) -> Observed:
    """Read the changes after ``since`` and every live entry, through the public API."""
    changes = [
        Seen(change.version, change.operation, str(change.scope), change.key or "", change.value)
        for change in state.changes(since=since)
    ]
    live = {}
    for scope in {*state.list_scopes(), *all_scopes(threads)}:
        for key, value in state.items(scope):
            live[str(scope), key] = (state.entry(scope, key).version, value)
            assert state.get(scope, key) == value
    return Observed(changes, live)
