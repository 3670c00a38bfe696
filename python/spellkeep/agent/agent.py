"""An agent: conversation, context, tools and the rest of its state, saved with every change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from spellkeep.agent import asking, forks, past, whole
from spellkeep.agent.conversation import Conversation
from spellkeep.agent.difference import Difference
from spellkeep.agent.layout import AGENT, CONTEXT, CUSTOM, METADATA, RETENTION, SCHEMA, STATUS, TAG, named
from spellkeep.agent.messages import Messages, MessagesView
from spellkeep.agent.parts import Part, PartView
from spellkeep.agent.past import Version
from spellkeep.agent.retention import Retention, prune, prune_if_due, set_retention
from spellkeep.agent.saving import Change, Saver, current_step
from spellkeep.agent.showing import safely
from spellkeep.agent.source import Source, agent_of
from spellkeep.agent.step import Step, StepSource, step_of
from spellkeep.agent.tools import Tools, ToolsView
from spellkeep.scope import StateScope
from spellkeep.value import decode, encode

if TYPE_CHECKING:
    from spellkeep.store import StateManager

Status: TypeAlias = Literal[
    "idle", "processing", "waiting_for_input", "waiting_for_tool", "suspended", "completed", "failed"
]
"""What an agent is doing."""


class AgentView:
    """An agent to read, as it was at one version. Made by ``agent.at``.

    Attributes:
        messages: the conversation.
        context: variables.
        custom: whatever else.
        tools: figures of the tools.
    """

    messages: MessagesView
    context: PartView
    custom: PartView
    tools: ToolsView

    def __init__(self, agent_id: str, source: Source) -> None:
        self._id = agent_id
        self._source = source
        self._end = source.end
        self.messages = MessagesView(self)
        self.context, self.custom, self.tools = PartView(self, CONTEXT), PartView(self, CUSTOM), ToolsView(self)

    def _moment(self) -> tuple[Source | StepSource, int]:
        return self._source, self._end

    def _conversation(self) -> tuple[Source | StepSource, Conversation, int]:
        source, end = self._moment()
        return source, source.conversation, end

    @property
    def id(self) -> str:
        """Its id; its scope is ``StateScope.agent(id)``."""
        return self._id

    @property
    def version(self) -> int:
        """The version that it shows."""
        assert self._source.version is not None
        return self._source.version

    @property
    def status(self) -> str:
        """What it is doing: idle, processing, waiting_for_input, waiting_for_tool, suspended, completed or failed."""
        found: str = self._moment()[0].value(STATUS, "idle")
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        """Name, type, version, capabilities, provider, tags, as ``describe`` was told."""
        return dict(self._moment()[0].value(METADATA) or {})

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain values: what ``load_agent_state`` gives."""
        return whole.to_dict(self._moment()[0], self._moment()[1])

    @safely
    def __repr__(self) -> str:
        return f"<AgentView {self._id!r} at version {self.version}, {len(self.messages)} messages>"


class Agent(AgentView):
    """An agent whose every change is saved when the call returns. Made by ``state.agent(id)``; shared by all threads.

    ``messages``, ``context``, ``custom`` and ``tools`` are read and changed in place; ``with agent.step():`` makes
    several changes one. Every save is a version: ``versions``, ``at``, ``diff``, ``restore``, ``fork``.
    """

    messages: Messages
    context: Part
    custom: Part
    tools: Tools

    def __init__(self, agent_id: str, saver: Saver) -> None:
        self._id = agent_id
        self._saver = saver
        self.messages = Messages(self)
        self.context, self.custom, self.tools = Part(self, CONTEXT), Part(self, CUSTOM), Tools(self)

    def _moment(self) -> tuple[Source | StepSource, int]:
        if (step := step_of(self)) is not None:
            source = step.source()
            return source, source.end
        end = self._saver.end()
        return self._saver.source, end

    def _conversation(self) -> tuple[Source | StepSource, Conversation, int]:
        # What is gone and where the end is belong together.
        with self._saver.lock:
            return super()._conversation()

    # Writing: into the step that the caller is in, or at once.

    def _put(self, key: str, value: Any) -> int:
        if current_step.get() is None:
            return self._acknowledged(self._saver.put(key, value))
        change = Change()
        change.put[key] = value
        return self._save(change)

    def _save(self, change: Change) -> int:
        return self._acknowledged(self._write(lambda: change))

    async def _asave(self, change: Change) -> int:
        return await self._aacknowledged(self._write(lambda: change))

    def _save_seen(self, change: Callable[[], Change]) -> int:
        """Save a change that depends on what there is."""
        return self._acknowledged(self._write(change))

    def _write(self, change: Callable[[], Change]) -> int:
        if (step := step_of(self)) is not None:
            step.add(change())
            return 0
        # Nobody else saves between the look and the write.
        with self._saver.lock:
            return self._saver.save(change)

    def _acknowledged(self, version: int) -> int:
        if version and self._saver.waits:
            self.store._acknowledge(version)
        prune_if_due(self._saver)
        return version

    async def _aacknowledged(self, version: int) -> int:
        if version:
            await self.store._acknowledged(version)
        prune_if_due(self._saver)
        return version

    @property
    def store(self) -> StateManager:
        """The store that it is in."""
        return self._saver.handle.store

    @property
    def scope(self) -> StateScope:
        """Its scope. What it holds are ordinary entries; docs/guide/agents.md names them."""
        return self._saver.handle.scope

    @property
    def exists(self) -> bool:
        """Whether anything was ever saved of it."""
        return self._saver.handle.exists(AGENT)

    @property
    def version(self) -> int:
        """The version of its last save; 0 when there is none. Cost: O(entries)."""
        return next((each.version for each in self.versions(limit=1)), 0)

    @property
    def created_at(self) -> datetime | None:
        """When it was first saved, in UTC."""
        entry = self._saver.handle._entry_or_none(AGENT)
        return None if entry is None else entry.updated_at

    @property
    def modified_at(self) -> datetime | None:
        """When it was last saved, in UTC. Cost: O(entries)."""
        return next((each.at for each in self.versions(limit=1)), None)

    @property
    def schema_version(self) -> int:
        """The version of the layout of its entries."""
        stored = agent_of(self._saver.handle)
        return SCHEMA if stored is None else int(stored["schema"])

    @property
    def status(self) -> str:
        """What it is doing: idle, processing, waiting_for_input, waiting_for_tool, suspended, completed or failed."""
        return super().status

    @status.setter
    def status(self, status: Status) -> None:
        if status not in get_args(Status):
            raise ValueError(f"{status!r} is no status; there are {', '.join(get_args(Status))}")
        self._put(STATUS, status)

    def describe(self, **fields: Any) -> int:
        """Save these fields of the metadata and keep the others; None removes one. Return the version.

        Usual: name, type, version, capabilities, provider, tags.
        """

        # As they are now: in a step they are merged at its end.
        told = decode(encode(fields))

        def described(stored: Any) -> dict[str, Any]:
            merged = {**(stored or {}), **told}
            return {name: value for name, value in merged.items() if value is not None}

        change = Change()
        change.fold[METADATA] = [described]
        return self._save(change)

    def step(self, label: str | None = None) -> Step:
        """``with agent.step("plan"): ...`` saves what the block changes as one, with a label for `versions`."""
        return Step(self, label)

    def save(self, state: Mapping[str, Any]) -> int:
        """Make the whole state this one, writing only what differs; return the version, 0 when nothing does.

        ``messages`` (a list), ``context``, ``custom``, ``tools`` (dicts) are saved by their items, everything else of
        `state` by its name. What `state` does not have is removed.

        Raises: NotSerializable, LimitExceeded (value.*); InvalidKey; HookVeto; StorageFailed, Poisoned; ReadOnly;
            Closed, Forked.
        Cost: a walk over `state`, and one record per item that differs.
        """
        with asking.saving(self, state) as (asked, done):
            return done(self._save_seen(lambda: whole.change_to(self, asked)))

    def to_dict(self) -> dict[str, Any]:
        """The whole state as plain values, as of one moment: what ``load_agent_state`` gives."""
        if step_of(self) is not None:
            return super().to_dict()
        with self._saver.reading() as (source, end):
            return whole.to_dict(source, end)

    async def asave(self, state: Mapping[str, Any]) -> int:
        """As ``save``, without blocking the event loop."""
        with asking.saving(self, state) as (asked, done):
            return await self._aacknowledged(done(self._write(lambda: whole.change_to(self, asked))))

    # The past.

    def versions(self, *, limit: int | None = None) -> list[Version]:
        """Its saves, newest first. Cost: O(entries)."""
        return past.versions(self._saver, limit)

    def at(self, when: int | datetime | str) -> AgentView:
        """The agent as it was at a version, at a time, or at a tag, to read.

        A version between two saves shows the earlier one, a time the last save up to it.

        Raises: KeyMissing (agent.version_missing) before its first save, or where retention has cleared the past away;
            HookVeto.
        Cost: of a version or tag, O(log messages); of a time, O(entries).
        """
        version = past.resolve(self._saver, when)
        with asking.loading(self.store, self.scope, version) as done:
            view = AgentView(self._id, Source(self._saver.handle, version))
            done(True)
        return view

    def diff(self, old: int | datetime | str, new: int | datetime | str | None = None) -> Difference:
        """What changed from `old` to `new`, by default to now; ``str()`` of it is for people."""
        return Difference.of(self.at(old).to_dict(), (self if new is None else self.at(new)).to_dict())

    def restore(self, when: int | datetime | str) -> int:
        """Make it what it was then, as a new save; return the version. Nothing of the past is lost."""
        return self.save(self.at(when).to_dict())

    def tag(self, name: str, when: int | datetime | str | None = None) -> int:
        """Name a version, by default the last one, and keep it whatever the retention; return that version."""
        return past.tag(self._saver, name, when)

    def untag(self, name: str) -> None:
        """Forget a name. Raises: KeyMissing (key.missing)."""
        del self._saver.handle[named(TAG, name)]

    @property
    def tags(self) -> dict[str, int]:
        """The named versions."""
        return {key[len(TAG) :]: pin["version"] for key, pin in self._saver.handle.iter_items(TAG)}

    @property
    def retention(self) -> Retention:
        """How much of the past is kept; by default all."""
        return Retention.of(self._saver.handle.get(RETENTION))

    @retention.setter
    def retention(self, retention: Retention) -> None:
        set_retention(self._saver, retention)

    def prune(self) -> int:
        """Clear away what the retention does not keep; return how many entries were removed.

        What tags and forks need stays.
        """
        count = prune(self._saver)
        if count and self._saver.waits:
            self.store._acknowledge(self.store.last_version)
        return count

    def fork(self, agent_id: str, at: int | datetime | str | None = None) -> Agent:
        """Another agent that begins with this one's state, of now or of `at`; they go on apart.

        Raises: Conflict (agent.exists) when there is such an agent.
        Cost: one batch of two records, whatever the size; of a time, O(entries) to find it.
        """
        return forks.fork(self, agent_id, at)

    @property
    def forks(self) -> list[str]:
        """The agents that build on this one."""
        return past.forks(self._saver)

    def detach(self) -> int:
        """Copy what a fork still reads from its base, so that it stands alone; return the version, 0 for no fork.

        Its versions before this one are gone then, and with them when the messages that it shared were saved.

        Raises: Conflict (agent.has_forks) while forks build on it.
        Cost: a copy of what it shares.
        """
        return forks.detach(self)

    def delete(self) -> bool:
        """Remove it with its past; whether there was anything.

        Raises: Conflict (agent.has_forks) while forks build on it: delete or ``detach`` them first.
        Cost: one record.
        """
        saver = self._saver
        if step_of(self) is not None:
            raise RuntimeError("an agent cannot be deleted in its own step")
        with saver.lock:
            past.check_no_forks(saver)
            base = (agent_of(saver.handle) or {}).get("base")
            pin = 0 if base is None else forks.pin_of(self.store, base["agent"], self._id)
            count = self.store.clear_scope(self.scope)
            saver.forget()
        if base is not None:
            forks.release(self.store, base["agent"], self._id, pin)
        return count > 0

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("an agent is not iterable: iterate its messages")

    @safely
    def __repr__(self) -> str:
        return f"<Agent {self._id!r} of {self.store.path!r}, {len(self.messages)} messages, {self.status}>"


__all__ = ["Agent", "AgentView", "Status"]
