"""Agents that begin with the state of another."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from spellkeep.agent import past
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
    is_gone,
    is_state,
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

_BATCH = 10_000


def fork(agent: Agent, agent_id: str, when: int | datetime | str | None) -> Agent:
    """Begin another agent with this one's state."""
    saver, store = agent._saver, agent.store
    if not agent.exists:
        raise past.missing(f"{agent.id!r} has nothing to fork yet")
    if when is not None:
        owner, when = past.owned(saver, past.resolve(saver, when))
        if owner.scope != saver.handle.scope:
            # Older than this agent, which is a fork: its retention has no say in it.
            return fork(store.agent(owner.scope.ids[0]), agent_id, when)
    end = saver.end()
    forked = store.agent(named("", agent_id))
    with saver.lock:
        if when is None:
            # Nothing is being saved now, so the last version of the store shows this agent as it is.
            version, end = store.last_version, saver._end if saver._end >= 0 else end
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
        past.check_no_forks(saver)
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
            if key.startswith((PAST, TAG, STEP)) or (is_state(key) and is_gone(value)):
                batch.delete(handle.scope, key)
        retention = handle.get(RETENTION)
        if retention is not None:
            batch.set(handle.scope, RETENTION, {**retention, "horizon": 0, "steps_from": 0})
        batch.set(handle.scope, AGENT, {"schema": SCHEMA})
        version = batch.commit()
        saver.forget()
    release(store, base_id, agent.id)
    return version
