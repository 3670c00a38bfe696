"""The past of an agent: its versions, tags and forks, and how much of it is kept."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.agent.layout import (
    AGENT,
    CONTEXT,
    CONVERSATION,
    CUSTOM,
    EDIT,
    FIELD,
    FORK,
    MESSAGE,
    METADATA,
    MISSING,
    PAST,
    RETENTION,
    SCHEMA,
    SHAPE,
    STATUS,
    STEP,
    TAG,
    TOOL,
    is_gone,
    is_state,
    named,
    numbered,
    past_of,
)
from spellkeep.agent.source import Source
from spellkeep.batch import Batch
from spellkeep.changes import time_from_us
from spellkeep.errors import Conflict, KeyMissing, LimitExceeded
from spellkeep.handle import ScopeHandle
from spellkeep.scope import StateScope
from spellkeep.value import encode

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent
    from spellkeep.agent.saving import Saver
    from spellkeep.store import StateManager

# Superseded entries between two looks at the retention.
_PRUNE_EVERY = 256
_BATCH = 10_000


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
    found = list[_Step]()
    for key in source.handle.list_keys(STEP):
        entry = source.handle._entry_or_none(key)
        if entry is not None and (source.version is None or entry.version <= source.version):
            found.append(_Step(entry.version, entry.value["records"], entry.value.get("label"), entry.updated_at))
    return found


def _records(source: Source) -> Iterator[tuple[int, int, str]]:
    for key, version, time_us in source.handle._stamps():
        if key.startswith(PAST):
            key, version, time_us = past_of(key)
        elif not is_state(key):
            continue
        if source.version is None or version <= source.version:
            yield version, time_us, key


def _own_versions(source: Source) -> list[Version]:
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
        horizon = _horizon(source)
        found.extend(each for each in _own_versions(source) if each.version >= horizon)
    found.sort(key=lambda each: each.version, reverse=True)
    return found if limit is None else found[:limit]


def _horizon(source: Source) -> int:
    stored: dict[str, Any] = source.handle.get(RETENTION, {})
    return int(stored.get("horizon", 0))


def resolve(saver: Saver, when: int | datetime | str) -> int:
    """The version that a version, time or tag means."""
    if isinstance(when, str):
        found: int = saver.handle.get(named(TAG, when), 0)
        if not found:
            raise KeyMissing(f"there is no tag {when!r}", code="key.missing")
        return found
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError("a time needs a zone: datetime.now(timezone.utc)")
        earlier = [each.version for each in versions(saver) if each.at <= when]
        if not earlier:
            raise _missing(f"nothing was saved up to {when.isoformat()}")
        return max(earlier)
    if isinstance(when, bool) or not isinstance(when, int):
        raise TypeError(f"a version, a datetime or a tag, not {when!r}")
    at = when
    for source in Source(saver.handle)._chain():
        at = _before_step(source, at if source.version is None else min(at, source.version))
        stamp = source.handle._stamp(AGENT)
        if stamp is not None and stamp[0] <= at <= saver.handle.store.last_version:
            if at < _horizon(source) and at not in _pins(source.handle):
                raise _missing(f"version {when} was cleared away by the retention")
            return at
    raise _missing(f"there is no version {when}")


def _missing(detail: str) -> KeyMissing:
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
            raise _missing("nothing was saved yet")
        version = found[0].version if found else resolve(saver, when)  # type: ignore[arg-type]
        saver.handle.set(key, version)
    return version


def forks(saver: Saver) -> list[str]:
    """The ids of the agents that build on this one."""
    handle = saver.handle
    found = [key[len(FORK) :] for key in handle.list_keys(FORK)]
    # Of a fork that is gone the entry may be left, if the process was killed in between.
    return [name for name in found if _base_of(handle.store, name).get("agent") == handle.scope.ids[0]]


def _base_of(store: StateManager, agent_id: str) -> dict[str, Any]:
    base: dict[str, Any] = (store.get(StateScope.agent(agent_id), AGENT) or {}).get("base") or {}
    return base


def _pins(handle: ScopeHandle) -> set[int]:
    """The versions that tags and forks keep."""
    found = {version for _, version in handle.iter_items(TAG)}
    for key, version in handle.iter_items(FORK):
        if _base_of(handle.store, key[len(FORK) :]).get("agent") == handle.scope.ids[0]:
            found.add(version)
    return found


def fork(agent: Agent, agent_id: str, when: int | datetime | str | None) -> Agent:
    """Begin another agent with this one's state."""
    saver, store = agent._saver, agent.store
    if not agent.exists:
        raise _missing(f"{agent.id!r} has nothing to fork yet")
    end = saver.end()
    forked = store.agent(named("", agent_id))
    with saver.lock:
        if when is None:
            # Nothing is being saved now, so the last version of the store shows this agent as it is.
            version, end = store.last_version, saver._end if saver._end >= 0 else end
        else:
            version = resolve(saver, when)
            end = Source(saver.handle, version).end
        base = {"agent": agent.id, "version": version, "end": end}
        batch = Batch(store)
        batch.set(forked.scope, AGENT, {"schema": SCHEMA, "base": base}, if_version=0)
        batch.set(agent.scope, FORK + agent_id, version)
        try:
            batch.commit()
        except Conflict as refusal:
            raise Conflict(
                f"there is an agent {agent_id!r} already: choose another id, or delete it", code="agent.exists"
            ) from refusal
    with forked._saver.lock:
        forked._saver.forget()
    return forked


def release(store: StateManager, base_id: str, agent_id: str) -> None:
    """A fork no longer builds on its base."""
    store.delete(StateScope.agent(base_id), FORK + agent_id)


def detach(agent: Agent) -> int:
    """Copy what a fork still reads from its base."""
    saver, store = agent._saver, agent.store
    with saver.lock:
        handle, source = saver.handle, Source(saver.handle)
        if source.base is None:
            return 0
        base_id = source.base.handle.scope.ids[0]
        conversation = source.conversation
        batch = Batch(store)
        for start, stop in conversation.runs(source.base_end):
            for low in range(start, stop, _BATCH):
                # Until the last batch nobody reads these: the numbers below the base's end are the base's.
                for number, value in enumerate(source.messages(low, min(low + _BATCH, stop), False), low):
                    batch.set(handle.scope, numbered(MESSAGE, number), value)
                if len(batch) >= _BATCH:
                    batch.commit()
                    batch = Batch(store)
        for prefix in (EDIT, CONTEXT, CUSTOM, TOOL, FIELD):
            for name in source.names(prefix):
                batch.set(handle.scope, prefix + name, source.value(prefix + name))
        for key in (CONVERSATION, STATUS, METADATA, SHAPE):
            if (found := source.find(key)) is not None:
                batch.set(handle.scope, key, found.value)
        for key, value in handle.iter_items():
            if key.startswith(PAST) or (is_state(key) and is_gone(value)):
                batch.delete(handle.scope, key)
        batch.set(handle.scope, AGENT, {"schema": SCHEMA})
        version = batch.commit()
        saver.forget()
    release(store, base_id, agent.id)
    return version


@dataclass(frozen=True)
class Retention:
    """How much of the past of an agent is kept; what either of the two keeps is kept. The present always is.

    Attributes:
        keep_last: so many saves; None: does not count.
        keep_days: the saves of so many days; None: does not count. Both None: everything is kept.
    """

    keep_last: int | None = None
    keep_days: float | None = None

    def __post_init__(self) -> None:
        for name in ("keep_last", "keep_days"):
            if (given := getattr(self, name)) is not None and not given >= 0:
                raise LimitExceeded(f"{name} is 0 or more, or None, not {given!r}", code="agent.retention")

    @classmethod
    def of(cls, stored: Any) -> Retention:
        """The one that an entry holds."""
        return cls() if stored is None else cls(stored["keep_last"], stored["keep_days"])


def set_retention(saver: Saver, retention: Retention) -> None:
    """Save it; it is applied from the next changes on, and by `prune`."""
    if not isinstance(retention, Retention):
        raise TypeError(f"a Retention, not {type(retention).__name__}")
    with saver.lock:
        stored = saver.handle.get(RETENTION, {"horizon": 0, "steps_from": 0})
        kept = {"keep_last": retention.keep_last, "keep_days": retention.keep_days}
        saver.handle.set(RETENTION, {**stored, **kept})


def prune_if_due(saver: Saver) -> None:
    """Apply the retention once in a while."""
    if saver.replaced_count >= _PRUNE_EVERY:
        saver.replaced_count = 0
        if Retention.of(saver.handle.get(RETENTION)) != Retention():
            prune(saver)


def prune(saver: Saver) -> int:
    """Clear away what neither the retention nor a tag nor a fork keeps."""
    with saver.lock:
        handle = saver.handle
        stored = handle.get(RETENTION)
        retention = Retention.of(stored)
        if retention == Retention():
            return 0
        horizon = _new_horizon(saver, retention)
        if horizon <= stored["horizon"]:
            horizon = stored["horizon"]
        doomed = list(_doomed(handle, horizon))
        steps = [key for key, version, _ in handle._stamps(STEP) if version < horizon]
        steps_from = max([stored["steps_from"], *(int(key[len(STEP) :]) + 1 for key in steps)])
        # First what makes the versions unreadable, then the entries.
        batch = Batch(handle.store)
        batch.set(handle.scope, RETENTION, {**stored, "horizon": horizon, "steps_from": steps_from})
        for key in doomed + steps:
            batch.delete(handle.scope, key)
            if len(batch) >= _BATCH:
                batch.commit()
                batch = Batch(handle.store)
        batch.commit()
        return len(doomed) + len(steps)


def _new_horizon(saver: Saver, retention: Retention) -> int:
    saves = sorted(_own_versions(Source(saver.handle)), reverse=True)
    kept = list[int]()
    if retention.keep_last is not None:
        # The present is a save too.
        at = max(retention.keep_last, 1)
        kept.append(saves[at - 1].version if at <= len(saves) else 0)
    if retention.keep_days is not None:
        since = datetime.now(UTC) - timedelta(days=retention.keep_days)
        kept.append(next((each.version for each in saves if each.at < since), 0))
    return min(kept)


def _doomed(handle: ScopeHandle, horizon: int) -> Iterator[str]:
    pins = sorted(_pins(handle))
    for key, until, _ in handle._stamps(PAST):
        since = past_of(key).version
        if until <= horizon and bisect.bisect_left(pins, since) == bisect.bisect_right(pins, until):
            yield key
    kept = [Source(handle, version) for version in {horizon, *(pin for pin in pins if pin < horizon)}]
    seen = [(source.conversation, source.end) for source in kept]
    conversation, end = Source(handle, horizon).conversation, Source(handle, horizon).end
    gone = [(0, min(conversation.first, end)), *conversation.gone]
    for number in (number for start, stop in gone for number in range(start, stop)):
        if not any(number < last and each.has(number) for each, last in seen):
            for key in (numbered(MESSAGE, number), numbered(EDIT, number)):
                if handle.exists(key):
                    yield key


@dataclass(frozen=True)
class Changed:
    """One difference.

    Attributes:
        path: where: ``context.goal``, ``messages[3]``.
        kind: ``"added"``, ``"removed"`` or ``"changed"``.
        old, new: the values; None where there is none.
    """

    path: str
    kind: str
    old: Any
    new: Any

    def __str__(self) -> str:
        lines = [] if self.kind == "added" else [f"- {self.path}: {self.old!r}"]
        return "\n".join(lines if self.kind == "removed" else [*lines, f"+ {self.path}: {self.new!r}"])


@dataclass(frozen=True)
class Difference:
    """What is different between two states; ``str()`` of it is for people.

    Attributes:
        changes: all of it, part by part.
    """

    changes: tuple[Changed, ...]

    @classmethod
    def of(cls, old: dict[str, Any], new: dict[str, Any]) -> Difference:
        """Compare two states."""
        return cls(
            tuple(
                each
                for name in dict.fromkeys([*old, *new])
                for each in _compare(name, old.get(name, MISSING), new.get(name, MISSING))
            )
        )

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Changed]:
        return iter(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no difference"


def _compare(path: str, old: Any, new: Any) -> Iterator[Changed]:
    if old is MISSING:
        yield Changed(path, "added", None, new)
    elif new is MISSING:
        yield Changed(path, "removed", old, None)
    elif type(old) is type(new) is dict and path.count(".") == 0:
        for name in dict.fromkeys([*old, *new]):
            yield from _compare(f"{path}.{name}", old.get(name, MISSING), new.get(name, MISSING))
    elif type(old) is type(new) is list:
        yield from _compare_lists(path, old, new)
    elif encode(old) != encode(new):
        yield Changed(path, "changed", old, new)


def _compare_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[Changed]:
    before, after = [encode(each) for each in old], [encode(each) for each in new]
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for operation, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if operation == "equal":
            continue
        both = min(old_to - old_from, new_to - new_from)
        for each in range(both):
            yield Changed(f"{path}[{new_from + each}]", "changed", old[old_from + each], new[new_from + each])
        for each in range(old_from + both, old_to):
            yield Changed(f"{path}[{each}]", "removed", old[each], None)
        for each in range(new_from + both, new_to):
            yield Changed(f"{path}[{each}]", "added", None, new[each])
