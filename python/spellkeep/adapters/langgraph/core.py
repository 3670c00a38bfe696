"""What the savers of one open store share: its lock, its names, and the threads in memory."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from spellkeep import Batch, ScopeHandle, StateManager
from spellkeep.adapters.langgraph.keys import SHARED_SCOPE, id_text, number_text, text_id, thread_scope

if TYPE_CHECKING:
    from spellkeep.adapters.langgraph.thread import Thread

NAMES_MAX = 4096
NAME_LEN_MAX = 64
THREADS_MAX = 64
ITEMS_MAX = 200_000
WAITING_MAX = 4096
LONG_COUNT = 10_000
LONG_BYTES = 16 << 20

_cores: weakref.WeakValueDictionary[int, Core] = weakref.WeakValueDictionary()
_making = threading.Lock()


def core_of(state: StateManager) -> Core:
    """The one core of a store in this process: two savers must agree on numbers and on what is in memory."""
    with _making:
        core = _cores.get(id(state))
        if core is None or core.state is not state:
            core = _cores[id(state)] = Core(state)
        return core


class Core:
    """Names have numbers in all threads, so that a checkpoint spends a byte on ``branch:to:agent``.

    Attributes:
        waits: whether whoever writes waits for the disk, which is done outside of the lock.
        waiting: writes whose checkpoint is not there, by thread, namespace and checkpoint: LangGraph may save them
            before the checkpoint itself. They are stored together with it, or never.
    """

    def __init__(self, state: StateManager) -> None:
        self.state = state
        self.lock = threading.RLock()
        self.waits = state.durability == "sync"
        self.shared = state.scope(SHARED_SCOPE)
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}
        self.read_names()
        self.waiting: OrderedDict[tuple[str, str, str], list[Any]] = OrderedDict()
        self._threads: OrderedDict[str, Thread] = OrderedDict()

    def read_names(self) -> None:
        """Know the names that the store has."""
        self.names[:] = [name for _, name in self.shared.iter_items("n")]
        self.numbers.clear()
        self.numbers.update((name, number) for number, name in enumerate(self.names))

    def name(self, kept: int | str) -> str:
        """The name that a record has a number or itself for."""
        return kept if isinstance(kept, str) else self.names[kept]

    def thread(self, thread_id: str) -> Thread:
        """A thread, from memory or from the store."""
        found = self._threads.get(thread_id)
        if found is None:
            from spellkeep.adapters.langgraph.thread import Thread

            found = self._threads[thread_id] = Thread(self, thread_id)
            if len(self._threads) > THREADS_MAX:
                self._threads.popitem(last=False)
            self.trim()
        else:
            self._threads.move_to_end(thread_id)
        return found

    def forget(self, thread_id: str) -> None:
        """Read a thread anew the next time."""
        self._threads.pop(thread_id, None)

    def forget_all(self) -> None:
        """Read all threads anew the next time."""
        with self.lock:
            self._threads.clear()

    def trim(self) -> None:
        """Let go of the lists of the threads that were used longest ago."""
        total = 0
        for thread in reversed(self._threads.values()):
            total += thread.held.count
            if total > ITEMS_MAX:
                total -= thread.held.count
                thread.held.clear()

    def thread_ids(self) -> list[str]:
        """All threads of the store. Cost: O(threads)."""
        return [entry[1] if (id := text_id(key[1:])) is None else id for key, entry in self.shared.iter_items("t")]

    def thread_number(self, thread_id: str) -> int | None:
        """The number of a thread's scope, if it has one."""
        entry = self.shared.get(self.thread_key(thread_id))
        return None if entry is None else entry[0]

    def thread_key(self, thread_id: str) -> str:
        """Where a thread's number stands."""
        return "t" + id_text(thread_id)

    def left_key(self, thread_id: str) -> str:
        """Where the number of a scope stands that no thread has, while one is written anew."""
        return "m" + id_text(thread_id)

    def new_scope(self, thread_id: str) -> int:
        """The number of a scope that a thread is to get."""
        number: int = self.shared.get("T", 0)
        with self.state.batch() as batch:
            batch.set(SHARED_SCOPE, "T", number + 1)
            batch.set(SHARED_SCOPE, self.left_key(thread_id), number)
        return number

    def give_scope(self, thread_id: str, number: int, former: int | None) -> None:
        """Give a thread the scope that was written for it, instead of the former one."""
        with self.state.batch() as batch:
            batch.set(SHARED_SCOPE, self.thread_key(thread_id), _entry(number, thread_id))
            if former is None:
                batch.delete(SHARED_SCOPE, self.left_key(thread_id))
            else:
                batch.set(SHARED_SCOPE, self.left_key(thread_id), former)

    def clear_left(self) -> None:
        """Clear the scopes that no thread has any more, or never got."""
        for key, number in list(self.shared.iter_items("m")):
            self.state.clear_scope(thread_scope(number))
            del self.shared[key]

    def deletion_key(self, thread_id: str) -> str:
        """Where it stands that a thread was deleted lately."""
        return "d" + id_text(thread_id)


def _entry(number: int, thread_id: str) -> list[Any]:
    """A thread's number, and its id where the key only has a hash of it."""
    return [number] if text_id(id_text(thread_id)) is not None else [number, thread_id]


class Write:
    """One atomic batch, with the names that it needs. Of one record, as most are, it is a plain set.

    Attributes:
        numbers: of the names that have one without this batch.
    """

    # Most writes are one record and have no use for the others.
    _batch: Batch | None = None
    _one: tuple[ScopeHandle, str, bytes] | None = None
    _count = _bytes = 0

    def __init__(self, core: Core) -> None:
        self._core, self.numbers = core, core.numbers
        self._new: dict[str, int] = {}

    @property
    def is_long(self) -> bool:
        """Whether what comes next should go into another batch, if it may. The first record does not count."""
        return self._count >= LONG_COUNT or self._bytes >= LONG_BYTES

    @property
    def batch(self) -> Batch:
        """For all but records."""
        if self._batch is None:
            self._batch = self._core.state.batch()
            if self._one is not None:
                handle, key, record = self._one
                self._batch.set(handle.scope, key, record)
        return self._batch

    def set(self, handle: ScopeHandle, key: str, record: bytes) -> None:
        """Add a record."""
        if self._batch is None and self._one is None:
            self._one = (handle, key, record)
        else:
            self._count += 1
            self._bytes += len(record)
            self.batch.set(handle.scope, key, record)

    def number(self, name: str) -> int | str:
        """The number of a name, or the name itself when it is long, or one of too many."""
        number = self.numbers.get(name)
        if number is None and (number := self._new.get(name)) is None:
            number = len(self._core.names) + len(self._new)
            if number >= NAMES_MAX or len(name) > NAME_LEN_MAX:
                return name
            self._new[name] = number
            self.batch.set(SHARED_SCOPE, "n" + number_text(number), name, if_version=0)
        return number

    def new_thread(self, thread_id: str) -> int:
        """Give a thread a number."""
        number: int = self._core.shared.get("T", 0)
        self.batch.set(SHARED_SCOPE, self._core.thread_key(thread_id), _entry(number, thread_id), if_version=0)
        self.batch.set(SHARED_SCOPE, "T", number + 1)
        return number

    def commit(self) -> int:
        """Commit; the caller waits for durability outside of the lock."""
        if self._batch is None and self._one is not None and not self._core.waits:
            handle, key, record = self._one
            return handle.set(key, record)
        try:
            version = self.batch.commit(acknowledge=False)
            self._core.names.extend(self._new)
            self._core.numbers.update(self._new)
        except BaseException:
            if self._new:
                # A signal may come behind the commit.
                self._core.read_names()
            raise
        return version
