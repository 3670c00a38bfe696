"""`SpellkeepSaver`: LangGraph's checkpointer."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)

from spellkeep import StateManager
from spellkeep.adapters.langgraph.checkpoints import Checkpoints, config_of
from spellkeep.adapters.langgraph.owner import Owner
from spellkeep.adapters.langgraph.serde import Serde
from spellkeep.adapters.langgraph.types import allow, allow_named

__all__ = ["SpellkeepSaver"]

_DAY_S = 86_400.0


class SpellkeepSaver(Owner, BaseCheckpointSaver[Any]):
    """Checkpoints in a Spellkeep store, with LangGraph's sync and async methods in one class.

    A put writes what changed since the parent checkpoint, as one atomic batch. What a call was told is kept survives
    what the store's ``durability`` says. Savers of one store may be used by any threads and tasks of the process.

    Two runs from one checkpoint make two branches. Both are kept and listed; the latest is the one that was put last.
    """

    def __init__(
        self,
        state: StateManager,
        *,
        types: Iterable[type] = (),
        register_new: bool = False,
        late_s: float = _DAY_S,
    ) -> None:
        """A saver on an open store, which stays the caller's to close.

        Args:
            types: classes whose objects the graph's state holds, as for `allow`. LangChain's messages and documents,
                LangGraph's types and the standard library's values are known.
            register_new: `allow` the class of each object that is put. A later process that has not put such an object
                yet must name the class, or it reads it as an inert ``spellkeep.Tagged``.
            late_s: for how long after ``delete_thread`` a run that began before cannot write to the thread any more.
        """
        super().__init__(serde=Serde())
        allow(*types)
        self._state = state
        self._checkpoints = Checkpoints(state, register_new=register_new, late_s=late_s)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """Allow the classes of a graph's state, as LangGraph names them, if this process has them. Imports nothing."""
        allow_named(extra_allowlist)
        return self

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The next version of a channel: a number, or in a thread that another saver began the text that it has."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}.{random.random():016}"
        return 1 if current is None else int(current) + 1

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the latest; None without one. Its values are the caller's alone."""
        return self._checkpoints.get(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the last put first; without `config`, of all threads, one after the other.

        Args:
            filter: metadata that a checkpoint must have, equal.
            before: only those that were put before the checkpoint that this one names.
        """
        return self._checkpoints.listed(config, filter, before, limit)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel the nearest value among the checkpoint's ancestors, and the writes since, oldest first."""
        return self._checkpoints.delta_history(config, channels)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint as one atomic batch; afterwards it is the latest of its namespace.

        Raises:
            Conflict (langgraph.thread_deleted): the parent went with its thread, within ``late_s``; nothing is written.
            NotSerializable (value.type): a value's class is not known; nothing is written.
            and what ``StateManager.set`` raises.
        """
        self._checkpoints.put(config, checkpoint, metadata, new_versions)
        self._acknowledge()
        return _stored(config, checkpoint)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote for the step after a checkpoint. A write that is there already stays as it is.

        Writes of a checkpoint that is not there are stored when it is put, in the same batch: until then nobody could
        read them.
        """
        self._checkpoints.put_writes(config, writes, task_id, task_path)
        self._acknowledge()

    def put_placed_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[int, str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As ``put_writes``, with the place of each write among its task's: of what another saver stored."""
        self._checkpoints.put_placed_writes(config, [part for write in writes for part in write], task_id, task_path)
        self._acknowledge()

    def delete_thread(self, thread_id: str) -> None:
        """Remove a thread's checkpoints and writes.

        A run that began before and puts a checkpoint after gets Conflict (langgraph.thread_deleted), for ``late_s``.
        """
        self._checkpoints.delete(str(thread_id))
        self._acknowledge()

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that have one of these ``run_id`` in their metadata, with their writes.

        Others stay as they are. Of each thread all of it happens or nothing. Cost: reads all checkpoints, writes the
        threads concerned.
        """
        self._checkpoints.delete_runs(run_ids)
        self._acknowledge()

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Add all checkpoints and writes of a thread to another one, all or none, behind what it has.

        Cost: both threads are read, and written.
        """
        self._checkpoints.copy(str(source_thread_id), str(target_thread_id))
        self._acknowledge()

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep of each thread only the latest checkpoint of each namespace (``keep_latest``), or nothing (``delete``).

        What the latest needs to rebuild its delta channels stays too.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy {strategy!r}: keep_latest or delete")
        for thread_id in map(str, thread_ids):
            if strategy == "delete":
                self._checkpoints.delete(thread_id)
            else:
                self._checkpoints.prune(thread_id)
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self._checkpoints.core.waits:
            self._state.flush()

    async def _aacknowledge(self) -> None:
        if self._checkpoints.core.waits:
            await self._state.aflush()

    # async twins: reads and writes answer from memory; only a wait for durability is awaited

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As ``get_tuple``."""
        return self.get_tuple(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As ``list``."""
        for found in self.list(config, filter=filter, before=before, limit=limit):
            yield found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As ``get_delta_channel_history``."""
        return self.get_delta_channel_history(config=config, channels=channels)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As ``put``."""
        self._checkpoints.put(config, checkpoint, metadata, new_versions)
        await self._aacknowledge()
        return _stored(config, checkpoint)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As ``put_writes``."""
        self._checkpoints.put_writes(config, writes, task_id, task_path)
        await self._aacknowledge()

    async def adelete_thread(self, thread_id: str) -> None:
        """As ``delete_thread``."""
        self._checkpoints.delete(str(thread_id))
        await self._aacknowledge()

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As ``delete_for_runs``."""
        self._checkpoints.delete_runs(run_ids)
        await self._aacknowledge()

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As ``copy_thread``."""
        self._checkpoints.copy(str(source_thread_id), str(target_thread_id))
        await self._aacknowledge()

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As ``prune``."""
        self.prune(thread_ids, strategy=strategy)


def _stored(config: RunnableConfig, checkpoint: Checkpoint) -> RunnableConfig:
    configurable = config["configurable"]
    return config_of(configurable["thread_id"], configurable.get("checkpoint_ns", ""), checkpoint["id"])
