"""Agents that begin with the state of another."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

from spellkeep.agent import past
from spellkeep.agent.batches import Batches
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
    PAST,
    RETENTION,
    SCHEMA,
    SHAPE,
    STATUS,
    STEP,
    TAG,
    TOOL,
    named,
    numbered,
)
from spellkeep.agent.source import Source
from spellkeep.batch import Batch
from spellkeep.errors import Conflict
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent
    from spellkeep.store import StateManager

_AT_ONCE = 256


def fork(agent: Agent, agent_id: str, when: int | datetime | str | None) -> Agent:
    """Begin another agent with this one's state."""
    saver, store = agent._saver, agent.store
    if when is not None:
        owner, when = past.owned(saver, past.resolve(saver, when))
        if owner.scope != saver.handle.scope:
            # Older than this agent, which is a fork: its retention has no say in it.
            return fork(store.agent(owner.scope.ids[0]), agent_id, when)
    forked = store.agent(named("", agent_id))
    with saver.lock:
        if not agent.exists:
            raise past.missing(f"{agent.id!r} has nothing to fork yet")
        if when is None:
            # Nothing is being saved now, so the last version of the store shows this agent as it is.
            version, end = store.last_version, saver.end()
        else:
            version = past.resolve(saver, when)
            end = Source(saver.handle, version).end
        base = {"agent": agent.id, "version": version, "end": end}
        batch = Batch(store)
        batch.set(agent.scope, FORK + agent_id, {"version": version, "end": end})
        batch.set(forked.scope, AGENT, {"schema": SCHEMA, "base": base}, if_version=0)
        try:
            batch.commit()
        except Conflict as refusal:
            raise Conflict(
                f"there is an agent {agent_id!r} already: choose another id, or delete it", code="agent.exists"
            ) from refusal
    with forked._saver.lock:
        forked._saver.forget()
    return forked


def pin_of(store: StateManager, base_id: str, agent_id: str) -> int:
    """The version of the entry by which the base knows of a fork."""
    return store.scope(StateScope.agent(base_id)).version(FORK + agent_id)


def release(store: StateManager, base_id: str, agent_id: str, pin: int) -> None:
    """A fork no longer builds on its base. One that was made anew since, with the same id, does."""
    with contextlib.suppress(Conflict):
        store.delete(StateScope.agent(base_id), FORK + agent_id, if_version=pin)


def detach(agent: Agent) -> int:
    """Copy what a fork still reads from its base."""
    saver, store = agent._saver, agent.store
    with saver.lock:
        handle, source = saver.handle, Source(saver.handle)
        if source.base is None:
            return 0
        past.check_no_forks(saver)
        base_id = source.base.handle.scope.ids[0]
        pin = pin_of(store, base_id, agent.id)
        conversation = source.conversation
        # Until the next batch nobody reads these: the numbers below the base's end are the base's.
        copies = Batches(handle)
        for start, stop in conversation.runs(source.base_end):
            for low in range(start, stop, _AT_ONCE):
                for number, value in enumerate(source.messages(low, min(low + _AT_ONCE, stop), False), low):
                    copies.set(numbered(MESSAGE, number), value)
        copies.commit()
        batch = Batch(store)
        for prefix in (EDIT, CONTEXT, CUSTOM, TOOL, FIELD):
            names = source.names(prefix)
            for name in names:
                batch.set(handle.scope, prefix + name, source.value(prefix + name))
            for key in set(handle.list_keys(prefix)).difference(prefix + name for name in names):
                batch.delete(handle.scope, key)
        for key in (CONVERSATION, STATUS, METADATA, SHAPE):
            if (found := source.find(key)) is not None:
                batch.set(handle.scope, key, found.value)
            else:
                batch.delete(handle.scope, key)
        for key in handle.list_keys(TAG):
            batch.delete(handle.scope, key)
        retention = handle.get(RETENTION, {"keep_last": None, "keep_days": None})
        steps_from = handle._numbered_end(STEP, retention.get("steps_from", 0))
        batch.set(handle.scope, RETENTION, {**retention, "horizon": 0, "steps_from": steps_from})
        batch.set(handle.scope, AGENT, {"schema": SCHEMA})
        version = batch.commit()
        saver.forget()
        # From here on nobody reads the past, which is older than the agent.
        past_keys = Batches(handle)
        for key in (*handle.list_keys(PAST), *handle.list_keys(STEP)):
            past_keys.delete(key)
        past_keys.commit()
    release(store, base_id, agent.id, pin)
    return version
