"""The past of an agent: its versions and tags."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.agent.layout import AGENT, FORK, PAST, RETENTION, STEP, TAG, is_state, named, numbered, past_of
from spellkeep.agent.source import Source
from spellkeep.changes import time_from_us
from spellkeep.errors import Conflict, KeyMissing
from spellkeep.handle import ScopeHandle
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.agent.saving import Saver
    from spellkeep.store import StateManager


class Version(NamedTuple):
    """One save.

    Attributes:
        version: what `at` takes.
        at: when it was saved, in UTC.
        label: of a step, what it was called.
        keys: the entries that it wrote, named as docs/guide/agents.md says.
    """

    version: int
    at: datetime
    label: str | None
    keys: tuple[str, ...]


class _Step(NamedTuple):
    version: int
    records: int
    label: str | None
    at: datetime


def _steps(source: Source) -> list[_Step]:
    created, created_us = source.handle._stamp(AGENT) or (0, 0)
    if source.version is not None and source.version < created:
        return []
    found = list[_Step]()
    for key in source.handle.list_keys(STEP):
        entry = source.handle._entry_or_none(key)
        if (
            entry is not None
            and created < entry.version
            and (source.version is None or entry.version <= source.version)
        ):
            found.append(_Step(entry.version, entry.value["records"], entry.value.get("label"), entry.updated_at))
    if created and not (found and found[0].version - found[0].records < created):
        # A fork that was detached wrote everything that it has before the entry that says so.
        found.insert(0, _Step(created, created, None, time_from_us(created_us)))
    return found


def _records(source: Source) -> Iterator[tuple[int, int, str]]:
    for key, version, time_us in source.handle._stamps():
        if key.startswith(PAST):
            key, version, time_us = past_of(key)
        elif not is_state(key):
            continue
        if source.version is None or version <= source.version:
            yield version, time_us, key


def own_versions(source: Source) -> list[Version]:
    """The saves of one agent without those of what it was forked from, in no order."""
    steps = _steps(source)
    ends = [step.version for step in steps]
    keys_of: list[list[str]] = [[] for _ in steps]
    found = list[Version]()
    for version, time_us, key in sorted(_records(source)):
        at = bisect.bisect_left(ends, version)
        if at < len(steps) and version > ends[at] - steps[at].records:
            keys_of[at].append(key)
        else:
            found.append(Version(version, time_from_us(time_us), None, (key,)))
    found.extend(
        Version(step.version, step.at, step.label, tuple(keys)) for step, keys in zip(steps, keys_of, strict=True)
    )
    return found


def versions(saver: Saver, limit: int | None = None) -> list[Version]:
    """The saves of an agent and of what it was forked from, newest first."""
    found = list[Version]()
    for source in Source(saver.handle)._chain():
        horizon = horizon_of(source)
        found.extend(each for each in own_versions(source) if each.version >= horizon)
    found.sort(key=lambda each: each.version, reverse=True)
    return found if limit is None else found[:limit]


def horizon_of(source: Source) -> int:
    """The oldest version that the retention left."""
    stored: dict[str, Any] = source.handle.get(RETENTION, {})
    return int(stored.get("horizon", 0))


def resolve(saver: Saver, when: int | datetime | str) -> int:
    """The version that a version, time or tag means."""
    if isinstance(when, str):
        pin = saver.handle.get(named(TAG, when))
        if pin is None:
            raise KeyMissing(f"there is no tag {when!r}", code="key.missing")
        return int(pin["version"])
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError("a time needs a zone: datetime.now(timezone.utc)")
        earlier = [each.version for each in versions(saver) if each.at <= when]
        if not earlier:
            raise missing(f"nothing was saved up to {when.isoformat()}")
        return max(earlier)
    if isinstance(when, bool) or not isinstance(when, int):
        raise TypeError(f"a version, a datetime or a tag, not {when!r}")
    return owned(saver, when)[1]


def owned(saver: Saver, when: int) -> tuple[ScopeHandle, int]:
    """The agent of a chain of forks whose save this is, and the version without what a step left half."""
    at = when
    for source in Source(saver.handle)._chain():
        at = _before_step(source, at if source.version is None else min(at, source.version))
        stamp = source.handle._stamp(AGENT)
        if stamp is not None and stamp[0] <= at <= saver.handle.store.last_version:
            if at < horizon_of(source) and at not in pins(source.handle):
                raise missing(f"version {when} was cleared away by the retention")
            return source.handle, at
    raise missing(f"there is no version {when}")


def missing(detail: str) -> KeyMissing:
    """The error for a version that is not there."""
    return KeyMissing(detail, code="agent.version_missing")


def _before_step(source: Source, version: int) -> int:
    """A version in the middle of a step is the one before it."""
    handle = source.handle
    low = handle.get(RETENTION, {}).get("steps_from", 0)
    high = handle._numbered_end(STEP, low)
    end = high
    while low < high:
        middle = (low + high) // 2
        if handle.version(numbered(STEP, middle)) < version:
            low = middle + 1
        else:
            high = middle
    if low == end:
        return version
    entry = handle.entry(numbered(STEP, low))
    before = entry.version - entry.value["records"]
    return before if before < version < entry.version else version


def tag(saver: Saver, name: str, when: int | datetime | str | None) -> int:
    """Name a version; return it."""
    key = named(TAG, name)
    with saver.lock:
        found = versions(saver, 1) if when is None else None
        if found == []:
            raise missing("nothing was saved yet")
        version = found[0].version if found else resolve(saver, when)  # type: ignore[arg-type]
        owner, version = owned(saver, version)
        if owner.scope != saver.handle.scope:
            raise missing(f"version {version} is older than this fork: tag it on {owner.scope.ids[0]!r}")
        saver.handle.set(key, {"version": version, "end": Source(saver.handle, version).end})
    return version


def forks(saver: Saver) -> list[str]:
    """The ids of the agents that build on this one."""
    handle = saver.handle
    found = [key[len(FORK) :] for key in handle.list_keys(FORK)]
    # Of a fork that is gone the entry may be left, if the process was killed in between.
    return [name for name in found if _base_of(handle.store, name).get("agent") == handle.scope.ids[0]]


def check_no_forks(saver: Saver) -> None:
    """Raise Conflict (agent.has_forks) while forks build on it."""
    if names := forks(saver):
        raise Conflict(
            f"{saver.handle.scope.ids[0]!r} is the base of {', '.join(names)}: delete or detach them first",
            code="agent.has_forks",
        )


def _base_of(store: StateManager, agent_id: str) -> dict[str, Any]:
    base: dict[str, Any] = (store.get(StateScope.agent(agent_id), AGENT) or {}).get("base") or {}
    return base


def pins(handle: ScopeHandle) -> set[int]:
    """The versions that tags and forks keep."""
    found = {pin["version"] for _, pin in handle.iter_items(TAG)}
    for key, pin in handle.iter_items(FORK):
        if _base_of(handle.store, key[len(FORK) :]).get("agent") == handle.scope.ids[0]:
            found.add(pin["version"])
    return found
