"""What a saver does with a store, under the core's lock and without waiting for durability."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
)

from spellkeep import StateManager
from spellkeep.adapters.langgraph.core import WAITING_MAX, Write, core_of
from spellkeep.adapters.langgraph.elements import New
from spellkeep.adapters.langgraph.frames import GONE, Frame, extra_of, metadata_of, plain_metadata
from spellkeep.adapters.langgraph.keys import SHARED_SCOPE
from spellkeep.adapters.langgraph.moving import rewrite
from spellkeep.adapters.langgraph.thread import Thread, flat_writes
from spellkeep.adapters.langgraph.types import blob_of
from spellkeep.errors import Conflict
from spellkeep.value import decode, difference, time_us


class Checkpoints:
    """The checkpoints of a store, by LangGraph's configs."""

    def __init__(self, state: StateManager, *, register_new: bool, late_s: float) -> None:
        self.core = core_of(state)
        self._register_new = register_new
        self._late_s = late_s

    def get(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names, or the latest."""
        configurable = config["configurable"]
        id = get_checkpoint_id(config)
        with self.core.lock:
            thread = self.core.thread(str(configurable["thread_id"]))
            number = thread.find(configurable.get("checkpoint_ns", ""), id)
            if number is None:
                return None
            return _tuple(thread, number, configurable["thread_id"], config if id else None)

    def listed(
        self,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the last put first, thread by thread."""
        configurable = config["configurable"] if config else {}
        thread_ids = [configurable["thread_id"]] if "thread_id" in configurable else self.core.thread_ids()
        ns, id = configurable.get("checkpoint_ns"), configurable.get("checkpoint_id")
        left = -1 if limit is None else max(limit, 0)
        for thread_id in thread_ids:
            with self.core.lock:
                numbers = _numbers(self.core.thread(str(thread_id)), ns, id, before)
            for number in numbers:
                if left == 0:
                    return
                with self.core.lock:
                    thread = self.core.thread(str(thread_id))
                    if not thread.has(number) or not _fits(thread, number, filter):
                        continue
                    found = _tuple(thread, number, thread_id, None)
                left -= 1
                yield found

    def delta_history(self, config: RunnableConfig, channels: Sequence[str]) -> dict[str, DeltaChannelHistory]:
        """For each channel the nearest value among the ancestors, and the writes since, oldest first."""
        configurable = config["configurable"]
        writes: dict[str, list[Any]] = {channel: [] for channel in channels}
        seeds: dict[str, Any] = {}
        with self.core.lock:
            thread = self.core.thread(str(configurable["thread_id"]))
            number = thread.find(configurable.get("checkpoint_ns", ""), get_checkpoint_id(config))
            for ancestor in thread.ancestors(number) if number is not None else ():
                wanted = [channel for channel in channels if channel not in seeds]
                if not wanted:
                    break
                for write in reversed(thread.pending_writes(ancestor, wanted)):
                    writes[write[1]].append(write)
                values = thread.frame(ancestor).values
                seeds.update({each: thread.elements.read(values[each]) for each in wanted if each in values})
        histories: dict[str, DeltaChannelHistory] = {}
        for channel, found in writes.items():
            histories[channel] = {"writes": found[::-1]}
            if channel in seeds:
                histories[channel]["seed"] = seeds[channel]
        return histories

    def put(self, config: RunnableConfig, checkpoint: Any, metadata: Any, new_versions: Mapping[str, Any]) -> None:
        """Store a checkpoint, with the writes that waited for it."""
        configurable = config["configurable"]
        ns, parent_id = configurable.get("checkpoint_ns", ""), configurable.get("checkpoint_id")
        thread_id, register_new = str(configurable["thread_id"]), self._register_new
        core = self.core
        with core.lock:
            thread = core.thread(thread_id)
            parent = thread.find(ns, parent_id) if parent_id else None
            if parent_id and parent is None and core.shared.exists(core.deletion_key(thread_id)):
                raise Conflict(
                    f"thread {thread_id!r} was deleted while this run was going on: what it puts now is not kept",
                    code="langgraph.thread_deleted",
                )
            new = New(thread.elements, register_new=register_new)
            base = thread.frame(parent) if parent is not None else None
            versions, updated = checkpoint["channel_versions"], checkpoint.get("updated_channels", False)
            values, lists = thread.keep_values(ns, checkpoint["channel_values"], versions, new_versions, base, new)
            frame = Frame(
                ns,
                checkpoint["id"],
                parent if parent is not None else parent_id or None,
                checkpoint["ts"],
                time_us(checkpoint["ts"]),
                checkpoint["v"],
                metadata_of(config, metadata, register_new=register_new),
                dict(versions),
                _seen(checkpoint["versions_seen"], base.seen if base is not None else {}),
                list(updated) if isinstance(updated, list) else updated,
                values,
                extra_of(checkpoint, register_new=register_new),
            )
            place = (thread_id, ns, frame.id)
            write = Write(core)
            committed = thread.put(write, frame, lists, new, core.waiting.get(place, ()))
            self._commit(write, thread_id, committed)
            core.waiting.pop(place, None)
            if frame.depth == 0:
                core.trim()

    def put_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task: str, path: str) -> None:
        """Store a task's writes, or let them wait for their checkpoint."""
        self.put_placed_writes(config, flat_writes(writes), task, path)

    def put_placed_writes(self, config: RunnableConfig, flat: list[Any], task: str, path: str) -> None:
        """As `put_writes`: place, channel and value of each, one behind the other."""
        configurable = config["configurable"]
        place = (str(configurable["thread_id"]), configurable.get("checkpoint_ns", ""), configurable["checkpoint_id"])
        core = self.core
        with core.lock:
            thread = core.thread(place[0])
            number = thread.find(place[1], place[2])
            if number is None:
                # As bytes meanwhile, since the caller may change the objects.
                flat[2::3] = [decode(blob_of(value, register_new=self._register_new)) for value in flat[2::3]]
                core.waiting.setdefault(place, []).append((task, path, flat))
                while len(core.waiting) > WAITING_MAX:
                    core.waiting.popitem(last=False)
                return
            write = Write(core)
            new = New(thread.elements, register_new=self._register_new)
            committed = thread.put_writes(write, number, task, path, flat, new)
            if committed is not None:
                self._commit(write, place[0], committed)

    def _commit(self, write: Write, thread_id: str, committed: Callable[[], None]) -> None:
        try:
            write.commit()
            committed()
        except BaseException:
            # What is in memory was made for a batch that is not there, or, behind a signal, lacks one that is.
            self.core.forget(thread_id)
            raise

    def delete(self, thread_id: str) -> None:
        """Remove a thread, and note that it was deleted."""
        core = self.core
        with core.lock:
            core.clear_left()
            thread = core.thread(thread_id)
            # Before, as a signal may come between any two lines.
            core.forget(thread_id)
            if thread:
                core.state.clear_scope(thread.scope)
                with core.state.batch() as batch:
                    batch.delete(SHARED_SCOPE, core.thread_key(thread_id))
                    batch.set(SHARED_SCOPE, core.deletion_key(thread_id), 1, ttl_s=self._late_s)
            for place in [place for place in core.waiting if place[0] == thread_id]:
                del core.waiting[place]

    def delete_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of some runs from all threads."""
        runs = set(run_ids)
        with self.core.lock:
            self.core.clear_left()
            for thread_id in self.core.thread_ids() if runs else ():
                thread = self.core.thread(thread_id)
                numbers = thread.newest_first(None)
                kept = {number for number in numbers if thread.frame(number).metadata.get("run_id") not in runs}
                if len(kept) < len(numbers):
                    rewrite(self.core, thread_id, [(thread, kept)])

    def copy(self, source_id: str, target_id: str) -> None:
        """Add a thread's checkpoints to another thread."""
        with self.core.lock:
            self.core.clear_left()
            source, target = self.core.thread(source_id), self.core.thread(target_id)
            if source is not target and source:
                both = [(thread, thread.newest_first(None)) for thread in (target, source)]
                rewrite(self.core, target_id, both)

    def prune(self, thread_id: str) -> None:
        """Keep the latest checkpoint of each namespace, and what its delta channels need."""
        with self.core.lock:
            self.core.clear_left()
            thread = self.core.thread(thread_id)
            kept: set[int] = set()
            for ns in thread.namespaces():
                latest = thread.find(ns, None)
                if latest is not None:
                    kept |= {latest, *_needed(thread, latest)}
            if len(kept) < len(thread.newest_first(None)):
                rewrite(self.core, thread_id, [(thread, kept)])


def _seen(seen: Mapping[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """What each node has seen, as the caller cannot change it; of most nodes that is what the parent has."""
    changed = difference(old, seen if isinstance(seen, dict) else dict(seen), gone=GONE)
    if not changed:
        return old
    same = old if GONE not in changed else {node: old[node] for node in old if node in seen}
    return same | {node: dict(versions) for node, versions in changed.items() if node != GONE}


def config_of(thread_id: Any, ns: str, id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": id}}


def _tuple(thread: Thread, number: int, thread_id: Any, config: RunnableConfig | None) -> CheckpointTuple:
    frame = thread.frame(number)
    parent = thread.id_of(frame.parent) if isinstance(frame.parent, int) else frame.parent
    checkpoint: dict[str, Any] = {
        "v": frame.v,
        "ts": frame.ts,
        "id": frame.id,
        "channel_values": thread.channel_values(frame),
        "channel_versions": frame.versions.copy(),
        "versions_seen": {node: seen.copy() for node, seen in frame.seen.items()},
    }
    if frame.updated is not False:
        checkpoint["updated_channels"] = None if frame.updated is None else list(frame.updated)
    if frame.extra:
        checkpoint.update(plain_metadata(frame.extra))
    return CheckpointTuple(
        config or config_of(thread_id, frame.ns, frame.id),
        checkpoint,  # type: ignore[arg-type]
        plain_metadata(frame.metadata),  # type: ignore[arg-type]
        config_of(thread_id, frame.ns, parent) if parent else None,
        thread.pending_writes(number),
    )


def _numbers(thread: Thread, ns: str | None, id: str | None, before: RunnableConfig | None) -> list[int]:
    numbers = thread.newest_first(ns)
    if id:
        numbers = [number for number in numbers if thread.id_of(number) == id]
    end = get_checkpoint_id(before) if before else None
    if end:
        last = next((number for number in thread.newest_first(ns) if thread.id_of(number) == end), None)
        if last is None:
            return [number for number in numbers if thread.id_of(number) < end]
        numbers = [number for number in numbers if number < last]
    return numbers


def _fits(thread: Thread, number: int, filter: Mapping[str, Any] | None) -> bool:
    if not filter:
        return True
    metadata = plain_metadata(thread.frame(number).metadata)
    return all(metadata.get(key) == value for key, value in filter.items())


def _needed(thread: Thread, latest: int) -> set[int]:
    """The ancestors from which LangGraph rebuilds the delta channels of a checkpoint."""
    metadata = plain_metadata(thread.frame(latest).metadata)
    channels = set(metadata.get("counters_since_delta_snapshot") or ()) - thread.frame(latest).values.keys()
    needed: set[int] = set()
    for ancestor in thread.ancestors(latest):
        if not channels:
            break
        needed.add(ancestor)
        channels -= thread.frame(ancestor).values.keys()
    return needed
