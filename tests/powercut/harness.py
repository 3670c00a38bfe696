"""Mount, write, cut the power at a random moment, mount, open, check; again and again, from one seed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import spellkeep
from crash.harness import RING_BYTES, SEGMENT_BYTES, Word, observe
from crash.model import LOST, WRONG, Finding, Model
from powercut.life import BUS_ERROR, KILLED, Lives, Way, incarnation
from powercut.promise import given, holes, judge
from powercut.said import Told
from powercut.volume import Unusable, Volume

INTERVAL_MS = 20
# Besides the interval: the sync that is under way when the power goes, and the wait of its thread for a processor.
GRACE_MS = 100.0
# A young store every so many cuts: openings read the whole log.
_CUTS_PER_STORE = 10
_EARLY, _EARLY_FOUNDING, _KILLED_FIRST, _CUT_AGAIN, _UNMAPPED = 0.1, 0.5, 0.15, 0.25, 0.15


@dataclass
class Run:
    """Power cuts of writers with one durability on one volume, and what they showed.

    Attributes:
        grace_ms: how much older than the interval a lost write may be.
        lies: plant syncs that do nothing.
        ages_ms: of each acknowledged write that was lost, how long before the cut.
        counts: cuts, acknowledged, lost writes, bus errors, rebuilt volumes, one count per kind of finding, ...
    """

    volume: Volume
    word: Word
    seed: int
    threads: int = 4
    grace_ms: float = GRACE_MS
    lies: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    ages_ms: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    _lives: Lives = field(default_factory=Lives)
    _incarnation: bytes | None = None

    def cut(self, count: int) -> None:
        """Cut the power so many times. Stops at the first cut with findings."""
        rng = random.Random(f"{self.seed}/{self.volume.kind}/{self.word}")
        store, model = Path(), Model()
        for life in range(count):
            if life % _CUTS_PER_STORE == 0:
                if life:
                    self.volume.remove(store)
                store, model = self.volume.root / f"{self.word}-{life}", Model()
            if not self._life(store, model, life, rng):
                store, model = self.volume.root / f"{self.word}-{life}-rebuilt", Model()
            if self.findings:
                break
        if not self.findings and count:
            self.volume.remove(store)

    @property
    def _allowed_ms(self) -> float | None:
        return {"sync": 0.0, "interval": INTERVAL_MS + self.grace_ms, "process": None}[self.word]

    def _life(self, store: Path, model: Model, life: int, rng: random.Random) -> bool:
        """One cut and the check after it. False when the volume had to be made anew."""
        told = Told()
        mapped = False if rng.random() < _UNMAPPED else None
        founding = life % _CUTS_PER_STORE == 0
        way = Way(cut=True, early=rng.random() < (_EARLY_FOUNDING if founding else _EARLY), mapped=mapped)
        if not way.early and rng.random() < _KILLED_FIRST:
            killed = Way(cut=False, early=False, mapped=mapped)
            self._write(store, told, f"{life}-killed", rng, killed, first_thread=0, threads=self.threads)
            self.counts["kills before"] += 1
        cut_ns = self._write(store, told, f"{life}", rng, way, first_thread=self.threads, threads=self.threads)
        try:
            self.volume.remount()
            if rng.random() < _CUT_AGAIN:
                again = Way(cut=True, early=True, mapped=mapped)
                reopened = Told()
                self._write(store, reopened, f"{life}-again", rng, again, first_thread=0, threads=0)
                told.durable = max(told.durable, reopened.durable)
                self.counts["cut again"] += 1
                self.volume.remount()
        except Unusable:
            self.counts["rebuilt"] += 1
            if self.volume.mounted:
                self.volume.unmount()
            self.volume.make()
            return False
        self.counts["cuts"] += 1
        self._check(store, model, told, cut_ns)
        return True

    def _write(
        self, store: Path, told: Told, life: str, rng: random.Random, how: Way, *, first_thread: int, threads: int
    ) -> int:
        """A writer until its end, by a cut or by a kill. Returns: the monotonic nanoseconds just before it."""
        settings = {
            "store": str(store),
            "durability": self.word,
            "interval_ms": INTERVAL_MS,
            "seed": f"{self.seed}/{self.volume.kind}/{self.word}",
            "life": life,
            "first_thread": first_thread,
            "threads": threads,
            "ring_bytes": RING_BYTES,
            "segment_bytes": SEGMENT_BYTES,
            "mapped_ring": how.mapped,
            "lies": self.lies,
        }
        end = self._lives.live(self.volume, store, settings, how, rng)
        self._incarnation = end.incarnation
        self.counts["bus errors"] += end.status == BUS_ERROR
        told.hear(end.said, end.at_ns)
        if end.by_itself or end.status not in (KILLED, BUS_ERROR):
            self._find(WRONG, f"life {life}: the writer ended with {end.status}: {end.stderr[-2000:]}")
        for at_ns, what in told.failures:
            if at_ns < end.at_ns:
                self._find(WRONG, f"life {life}: with the power on: {what}")
        return end.at_ns

    def _check(self, store: Path, model: Model, told: Told, cut_ns: int) -> None:
        since = model.version
        try:
            with spellkeep.open(
                store, ring_bytes=RING_BYTES, segment_bytes=SEGMENT_BYTES, keep_log_bytes=None
            ) as state:
                recovery, last_version = state.recovery, state.last_version
                observed = observe(state, since, 2 * self.threads)
        except spellkeep.errors.StateError as failure:
            self._find(WRONG, f"the store does not open after the cut: {failure!r}")
            return
        if self._incarnation is not None and incarnation(store) == self._incarnation:
            self._find(WRONG, "the incarnation is the same after the cut as before it")
        if last_version < since:
            self._find(LOST, f"version {since} was there after the last cut, {last_version} is the last one now")
        # Behind the last record may be versions that an opening left out, so the last version says nothing of it.
        survived = max([since, *(change.version for change in observed.changes)])
        judged = judge(told, survived, cut_ns, self._allowed_ms)
        if last_version < given(told):
            self._find(WRONG, f"version {given(told)} may be given again: {last_version} is the last one now")
        acknowledged = model.counts["acknowledged"], model.counts["uncertain"]
        for finding in [*judged.findings, *holes(observed.changes, since), *model.check(judged.kept, observed)]:
            self._find(finding.kind, finding.what)
        # What comes next has versions behind those that were left out.
        model.version = last_version
        said = [event for events in told.threads.values() for event in events]
        self.counts["acknowledged"] += sum(event.acknowledged for event in said)
        self.counts["uncertain"] += sum(not event.acknowledged for event in said)
        self.counts["flushes"] += sum(event.acknowledged and event.op.kind == "flush" for event in said)
        self.counts["kept"] += model.counts["acknowledged"] - acknowledged[0]
        self.counts["gone"] += len(judged.ages_ms)
        self.counts["cut tails"] += recovery.cut_reason is not None
        self.ages_ms += judged.ages_ms

    def _find(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.findings.append(Finding(kind, what))
