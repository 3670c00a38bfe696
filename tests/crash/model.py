"""What must be in the store, and the check of what is.

The versions that came back put all acknowledged writes into one order. What is expected is made from them alone;
the log only settles which of the uncertain operations, at most one per thread, took place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from crash.ops import Op, Write, value_of

LOST: Final = "lost"
WRONG: Final = "wrong"
RESURRECTED: Final = "resurrected"
TORN: Final = "torn batch"
PHANTOM: Final = "phantom"
KINDS: Final = (LOST, WRONG, RESURRECTED, TORN, PHANTOM)

Place = tuple[str, str]


@dataclass(frozen=True)
class Seen:
    """One committed change, as the reopened store tells it. ``operation`` is set, delete or clear."""

    version: int
    operation: str
    scope: str
    key: str
    value: Any = None


@dataclass
class Observed:
    """What the reopened store holds: the changes after the last check, and every live entry."""

    changes: list[Seen]
    live: dict[Place, tuple[int, Any]]


@dataclass
class Done:
    """An operation of one thread; ``result`` only if it came back."""

    op: Op
    result: Any = None
    acknowledged: bool = True


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True)
class _Effect:
    version: int
    operation: str
    scope: str
    write: Write | None

    def touches(self, place: Place) -> bool:
        """Whether it sets or removes what is there."""
        if self.write is None:
            return self.scope == place[0]
        return (self.write.scope, self.write.key) == place


@dataclass
class Model:
    """Everything that was acknowledged over all the lives of one store."""

    live: dict[Place, tuple[int, Write]] = field(default_factory=dict)
    removed: set[Place] = field(default_factory=set)
    version: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def check(self, lives: dict[int, list[Done]], observed: Observed) -> list[Finding]:
        """Compare a life of the writer with the store after it. Afterwards the model holds that life too."""
        check = _Check(observed, set(self.live))
        for thread, events in lives.items():
            check.thread(thread, events)
        effects = check.finish()
        self.counts["acknowledged"] += sum(each.acknowledged for events in lives.values() for each in events)
        self.counts["uncertain"] += sum(not each.acknowledged for events in lives.values() for each in events)
        for effect in sorted(effects, key=lambda effect: effect.version):
            check.findings += self._apply(effect)
        self.version = max([self.version, *(change.version for change in observed.changes)])
        return check.findings + self._compare(observed)

    def _apply(self, effect: _Effect) -> list[Finding]:
        if effect.operation == "clear":
            for place in [place for place in self.live if place[0] == effect.scope]:
                del self.live[place]
                self.removed.add(place)
            return []
        write = effect.write
        assert write is not None
        place = (write.scope, write.key)
        current = self.live.get(place, (0, None))[0]
        if effect.operation == "delete":
            self.live.pop(place, None)
            self.removed.add(place)
            return []
        self.live[place] = (effect.version, write)
        if write.if_version is not None and write.if_version != current:
            what = f"{place} version {effect.version} was based on {write.if_version}, over {current}"
            return [Finding(WRONG, what)]
        return []

    def _compare(self, observed: Observed) -> list[Finding]:
        findings = []
        for place, (version, write) in self.live.items():
            if place not in observed.live:
                findings.append(Finding(LOST, f"{place} version {version} is gone"))
                continue
            found_version, found = observed.live[place]
            assert write.mark is not None
            if found_version < version:
                findings.append(Finding(LOST, f"{place} is version {found_version}, acknowledged was {version}"))
            elif found_version > version or found != value_of(write.mark, write.size):
                findings.append(Finding(WRONG, f"{place} version {found_version} is not what version {version} wrote"))
        for place in observed.live.keys() - self.live.keys():
            kind = RESURRECTED if place in self.removed else PHANTOM
            findings.append(Finding(kind, f"{place} version {observed.live[place][0]} should not be there"))
        return findings


class _Check:
    """One life against the changes that the log has of it."""

    def __init__(self, observed: Observed, live_before: set[Place]) -> None:
        self.live_before = live_before
        self.findings: list[Finding] = []
        self.effects: list[_Effect] = []
        self.unclaimed = {change.version: change for change in observed.changes}
        self._late: list[tuple[int, int, Done]] = []
        versions = [change.version for change in observed.changes]
        if versions != sorted(set(versions)):
            self._find(WRONG, "the versions of the changes do not strictly increase")

    def thread(self, thread: int, events: list[Done]) -> None:
        """Find every effect that the thread was told of. What has no version comes when the rest is claimed."""
        floor = 0
        for number, done in enumerate(events):
            if not done.acknowledged:
                if number != len(events) - 1:
                    self._find(WRONG, f"thread {thread} went on after an operation that did not come back")
                self._late.append((thread, floor, done))
            elif done.op.kind == "clear":
                if done.result:
                    self._late.append((thread, floor, done))
            elif done.result != "conflict":
                versions = done.result if done.op.kind == "batch" else [done.result]
                for write, version in zip(done.op.writes, versions, strict=True):
                    floor = self._claim(write, version, floor)

    def _claim(self, write: Write, version: int, floor: int) -> int:
        if version == 0 and write.mark is None:
            return floor
        if version <= floor:
            self._find(WRONG, f"{write.scope} {write.key}: version {version} is not after {floor}")
        self.effects.append(_Effect(version, _operation(write), write.scope, write))
        change = self.unclaimed.pop(version, None)
        if change is None:
            self._find(LOST, f"{write.scope} {write.key}: acknowledged version {version} is not in the log")
        elif not _matches(write, change):
            self._find(WRONG, f"{write.scope} {write.key}: version {version} in the log is something else")
        return version

    def finish(self) -> list[_Effect]:
        """Claim clears, whose versions nobody was told, and the uncertain operations. Returns: all effects."""
        for thread, floor, done in sorted(self._late, key=lambda late: not late[2].acknowledged):
            if done.op.kind == "clear":
                self._claim_clear(thread, floor, done)
            else:
                self._claim_uncertain(floor, done.op)
        for change in self.unclaimed.values():
            what = f"{change.scope} {change.key}: {change.operation} of version {change.version} was never asked for"
            self._find(PHANTOM, what)
        return self.effects

    def _claim_clear(self, thread: int, floor: int, done: Done) -> None:
        scope = done.op.scope
        versions = [v for v, c in self.unclaimed.items() if v > floor and (c.operation, c.scope) == ("clear", scope)]
        if versions:
            version = min(versions)
            del self.unclaimed[version]
            self.effects.append(_Effect(version, "clear", scope, None))
        elif done.acknowledged:
            self._find(LOST, f"thread {thread}: the clear of {scope} after version {floor} is not in the log")

    def _claim_uncertain(self, floor: int, op: Op) -> None:
        found: list[tuple[Write, int]] = []
        for write in op.writes:
            versions = [v for v, change in self.unclaimed.items() if v > floor and _matches(write, change)]
            found += [(write, min(versions))] if versions else []
        # A delete of a key that is not there writes nothing.
        wanted = [write for write in op.writes if write.mark is not None or self._was_live((write.scope, write.key))]
        if found and len(found) != len(wanted):
            self._find(TORN, f"{len(found)} of {len(wanted)} writes of an uncertain batch are in the log")
        for write, version in found:
            del self.unclaimed[version]
            self.effects.append(_Effect(version, _operation(write), write.scope, write))

    def _was_live(self, place: Place) -> bool:
        """Whether the place had a value after everything that was acknowledged."""
        touching = [each for each in self.effects if each.touches(place)]
        if not touching:
            return place in self.live_before
        return max(touching, key=lambda each: each.version).operation == "set"

    def _find(self, kind: str, what: str) -> None:
        self.findings.append(Finding(kind, what))


def _operation(write: Write) -> str:
    return "delete" if write.mark is None else "set"


def _matches(write: Write, change: Seen) -> bool:
    if (change.scope, change.key, change.operation) != (write.scope, write.key, _operation(write)):
        return False
    return write.mark is None or change.value == value_of(write.mark, write.size)
