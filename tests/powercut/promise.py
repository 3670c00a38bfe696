"""Which acknowledged writes a durability word allows a power cut to lose, and the check of those that it lost.

What survives is a prefix of the commits, up to one version. What was above it is judged here; crash.model then holds
what was not above it against the store, as after a kill.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crash.model import LOST, TORN, WRONG, Done, Finding, Seen
from powercut.said import Said, Told


@dataclass
class Judged:
    """What is left to compare with the store, what was lost, and what must not have been.

    Attributes:
        ages_ms: of each acknowledged write that was lost: how long before the cut it was acknowledged.
    """

    kept: dict[int, list[Done]] = field(default_factory=dict)
    ages_ms: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def judge(told: Told, survived: int, cut_ns: int, allowed_ms: float | None) -> Judged:
    """Split what was told at the last version that survived.

    Args:
        cut_ns: just before the power went; monotonic. Nothing counts as acknowledged from then on.
        allowed_ms: how old an acknowledged write may be that is lost: 0 none, None any.
    """
    judged = Judged()
    said_before = [said for events in told.threads.values() for said in events if said.at_ns < cut_ns]
    durable = max([told.durable, *(said.durable for said in said_before)])
    if durable > survived:
        judged.findings.append(Finding(LOST, f"version {durable} was called durable, {survived} is the last one there"))
    for thread, events in told.threads.items():
        kept = judged.kept[thread] = []
        gone: Said | None = None
        for said in events:
            first, last = _versions(said)
            if last and first > survived:
                gone = gone or said
                _lose(judged, said, cut_ns, allowed_ms)
            elif gone is None:
                kept += _keep(judged, said, survived, last, must_stay(said, cut_ns, allowed_ms))
                gone = said if kept and not kept[-1].acknowledged else None
            elif last:
                judged.findings.append(
                    Finding(WRONG, f"thread {thread}: version {last} came after one above {survived}")
                )
    return judged


def given(told: Told) -> int:
    """The last version that anybody was told of."""
    return max((_versions(said)[1] for events in told.threads.values() for said in events), default=0)


def holes(changes: list[Seen], since: int) -> list[Finding]:
    """A prefix has none: the versions of the log follow each other without a gap."""
    found = []
    for change in changes:
        if change.version != since + 1:
            found.append(Finding(WRONG, f"version {change.version} follows {since} in the log"))
        since = change.version
    return found


def _versions(said: Said) -> tuple[int, int]:
    """The first and last version that it may have; (0, 0) when it wrote nothing."""
    if not said.acknowledged or said.op.kind == "flush" or said.result == "conflict":
        return 0, 0
    if said.op.kind == "clear":
        return (said.after + 1, said.upto) if said.result else (0, 0)
    versions = [version for version in (said.result if said.op.kind == "batch" else [said.result]) if version]
    return (min(versions), max(versions)) if versions else (0, 0)


def must_stay(said: Said, cut_ns: int, allowed_ms: float | None) -> bool:
    """Whether an acknowledgement is so old that the cut may not take back what it was for."""
    # What came back once the power was going was told to nobody. (An fdatasync that ext4's shutdown meets half-way
    # returns 0 and has written nothing: seen in 4 of 60 cuts with a plain pwrite and fdatasync.)
    return allowed_ms is not None and cut_ns - said.at_ns > allowed_ms * 1e6


def _keep(judged: Judged, said: Said, survived: int, last: int, must_stay: bool) -> list[Done]:
    if said.op.kind == "flush":
        return []
    if not said.acknowledged:
        return [Done(said.op, acknowledged=False)]
    if last > survived and said.op.kind == "clear":
        # Its version is one of several, some of which are gone: it may be among them.
        return [Done(said.op, said.result, acknowledged=must_stay)]
    if last > survived:
        judged.findings.append(Finding(TORN, f"a batch goes on to version {last}, {survived} is the last one there"))
    return [Done(said.op, said.result)]


def _lose(judged: Judged, said: Said, cut_ns: int, allowed_ms: float | None) -> None:
    age_ms = (cut_ns - said.at_ns) / 1e6
    if age_ms > 0:
        judged.ages_ms.append(age_ms)
    if must_stay(said, cut_ns, allowed_ms):
        places = [(write.scope, write.key) for write in said.op.writes] or said.op.scope
        what = f"{said.op.kind} {said.result} of {places}, acknowledged {age_ms:.1f} ms before the cut, is gone"
        judged.findings.append(Finding(LOST, what))
