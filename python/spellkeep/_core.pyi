"""Types of the compiled core. Import from the public modules, never from here."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, SupportsIndex, final, overload

from typing_extensions import disjoint_base

from spellkeep.changes import Entry, Operation, StateClass
from spellkeep.scope import ScopeKind

__all__ = [
    "Batch",
    "Change",
    "Changes",
    "Correlation",
    "DictView",
    "EntryBuffer",
    "Events",
    "Hook",
    "HookAsked",
    "HookContext",
    "HookFilter",
    "HookTable",
    "Items",
    "Limits",
    "ModelFields",
    "Pictures",
    "ReadView",
    "ScopeHandle",
    "SequenceView",
    "StateScope",
    "Store",
    "Substitution",
    "Tagged",
    "ViewIter",
    "correlation_var",
    "hook_ask",
    "hook_call",
    "hook_deliver",
    "hook_digest",
    "hook_pick",
    "is_secret_name",
    "redact_text",
    "secrets_in",
    "store_salvage",
    "store_verify",
    "value_bundle",
    "value_changed",
    "value_copies",
    "value_decode",
    "value_difference",
    "value_encode",
    "value_gather",
    "value_time_us",
    "value_use_registry",
    "value_uuid_bytes",
    "value_view",
]

# redaction --------------------------------------------------------

def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret."""

def redact_text(text: str) -> str:
    """The text without what looks like a secret.

    Cost: linear, whatever the text says; one pass at memory speed where no secret begins.
    """

def secrets_in(text: str) -> list[tuple[int, int]]:
    """Where in the text secrets are, in order and apart: first character, and one behind the last."""

# scope ------------------------------------------------------------

@final
class StateScope:
    """Whose state an entry is: a kind and its ids. Immutable, hashable, ordered by kind, then id by id."""

    GLOBAL: ClassVar[StateScope]
    """The scope that everything in the store shares."""

    @staticmethod
    def user(user_id: str) -> StateScope:
        """The scope of one person."""
    @staticmethod
    def session(session_id: str) -> StateScope:
        """The scope of one conversation."""
    @staticmethod
    def agent(agent_id: str) -> StateScope:
        """The scope of one agent."""
    @staticmethod
    def tool(tool_id: str) -> StateScope:
        """The scope of one tool."""
    @staticmethod
    def workflow(workflow_id: str) -> StateScope:
        """The scope of one workflow."""
    @staticmethod
    def step(workflow_id: str, step_name: str) -> StateScope:
        """The scope of one step of a workflow."""
    @staticmethod
    def custom(namespace: str) -> StateScope:
        """The scope of a namespace of your own."""
    @classmethod
    def parse(cls, text: str) -> StateScope:
        """The scope that a text form such as ``agent:scout`` names.

        Raises: InvalidKey (scope.malformed, scope.empty_id, scope.id_too_long, scope.lone_surrogate).
        """
    @property
    def kind(self) -> ScopeKind:
        """``global``, ``user``, ``session``, ``agent``, ``tool``, ``workflow``, ``step`` or ``custom``."""
    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, outermost first: two of a step, none of ``GLOBAL``, else one."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: StateScope, /) -> bool: ...
    def __le__(self, other: StateScope, /) -> bool: ...
    def __gt__(self, other: StateScope, /) -> bool: ...
    def __ge__(self, other: StateScope, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...

# value ------------------------------------------------------------

@final
class Limits:
    """What one value may be; checked during the walk that encodes it."""

    def __new__(
        cls,
        *,
        depth_max: int | None = None,
        items_max: int | None = None,
        string_bytes_max: int | None = None,
        value_bytes_max: int | None = None,
    ) -> Self: ...
    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]: ...
    @property
    def depth_max(self) -> int:
        """Nesting levels of containers."""
    @property
    def items_max(self) -> int:
        """Items over all containers of one value."""
    @property
    def string_bytes_max(self) -> int:
        """UTF-8 bytes of one string, or bytes of one binary."""
    @property
    def value_bytes_max(self) -> int:
        """Encoded bytes of the whole value."""

@final
class Tagged:
    """A value of a class that this process has not registered: inert, and kept byte for byte."""

    def __new__(cls, tag: str, version: int, payload: Any) -> Self: ...
    @property
    def tag(self) -> str:
        """The tag under which a class would be registered."""
    @property
    def version(self) -> int:
        """The version of the class that encoded the payload."""
    @property
    def payload(self) -> Any:
        """The payload, decoded anew at each access. Raises: as ``decode``."""
    def __hash__(self) -> int: ...

@final
class DictView(Mapping[Any, Any]):
    """A read-only view of a stored dict: what is asked for is found in the stored bytes, and nothing else is read."""

    def __getitem__(self, key: Any, /) -> Any: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> ViewIter: ...
    def get(self, key: Any, default: Any = None, /) -> Any:
        """The value under `key`, or `default`."""
    def __contains__(self, key: object, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> Any: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def _iter_values(self) -> ViewIter: ...
    def _iter_items(self) -> ViewIter: ...
    def to_python(self) -> dict[Any, Any]:
        """The dict itself, as ``get`` of the store would give it: read whole, checked whole, and free to be changed."""

@final
class SequenceView(Sequence[Any]):
    """A read-only view of a stored list or tuple. A slice is a list (of a tuple: a tuple) of the items it names."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[Any]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> ViewIter: ...
    def __reversed__(self) -> Iterator[Any]: ...
    def __contains__(self, value: object, /) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __reduce__(self) -> Any: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]
    def index(self, value: Any, start: int = 0, stop: int = sys.maxsize, /) -> int:
        """The first index, from `start` to before `stop`, of a value equal to `value`."""
    def count(self, value: Any, /) -> int:
        """How many values are equal to `value`."""
    def to_python(self) -> list[Any] | tuple[Any, ...]:
        """The list or tuple itself, as ``get`` of the store would give it: read whole, and free to be changed."""

@final
class ViewIter:
    """An iterator over a view."""

    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...
    def __length_hint__(self) -> int: ...

def value_encode(value: Any, *, limits: Limits | None = None) -> bytes:
    """Encode a value as the store would keep it."""

@final
class Pictures:
    """For ``changed``: what the items of a list were the last time."""

def value_changed(
    items: list[Any],
    copies: list[Any],
    *,
    parts: tuple[Any, ...] | None = None,
    pictures: Pictures | None = None,
    sole: bool = False,
) -> list[int]:
    """Find the places at which two lists differ: where the items would not be kept as the same bytes."""

def value_copies(items: list[Any], parts: tuple[Any, ...]) -> list[Any]:
    """Copy objects that are made of nothing but their parts; no copy shares anything that could change."""

def value_difference(
    old: dict[Any, Any],
    new: dict[Any, Any],
    names: dict[Any, Any] | None = None,
    name: Callable[[Any], Any] | None = None,
    gone: Any = None,
) -> dict[Any, Any]:
    """Find the entries of a dict that another one has not, or has with another value."""

def value_bundle(head: list[Any], blobs: Sequence[bytes]) -> bytes:
    """Encode a list, and values that are encoded already, as one run of bytes."""

def value_gather(
    first: Mapping[str, Any], others: tuple[Mapping[str, Any] | None, ...], left_out: frozenset[str]
) -> dict[str, Any]:
    """Gather all entries of a mapping, and of others the texts and numbers under names that are not there yet."""

def value_time_us(text: Any) -> int | None:
    """The microseconds since 1970 of a time of UTC, if it is spelled as ``datetime.isoformat`` does."""

def value_uuid_bytes(text: str) -> bytes | None:
    """The 16 bytes of a UUID in its canonical spelling. None for any other text."""

@final
class ModelFields:
    """What of the objects of a pydantic model's class has to be kept, as a function for ``register``."""

    def __new__(
        cls,
        usual: dict[str, Any],
        places: dict[Any, Any],
        names: Sequence[str],
        *,
        uuid: str,
        was_set: Any,
        extra: Any,
    ) -> ModelFields: ...
    def __call__(self, model: Any) -> dict[Any, Any]: ...

@final
class Substitution:
    """How texts in a value are replaced, in it and in the objects of some classes."""

    def __new__(
        cls, models: frozenset[Any], parts: tuple[Any, ...], *, field: str, len_min: int, items_max: int
    ) -> Substitution: ...
    def __call__(self, value: Any, depth: int, find: Callable[[str], Any]) -> Any: ...
    def with_field(self, model: Any, value: Any) -> Any:
        """An object like this one, with another value in the field; its other parts are shared."""

def value_decode(data: bytes) -> Any:
    """Rebuild a value from the bytes that ``value_encode`` returned."""

def value_view(data: bytes) -> Any:
    """View a value in the bytes that ``value_encode`` returned, without rebuilding it."""

def value_use_registry(
    by_class: dict[type, tuple[str, int, Callable[[Any], Any]]], by_tag: dict[str, Callable[[Any, int], Any]]
) -> None:
    """Private: the two dicts that ``spellkeep.value`` fills."""

# correlation ------------------------------------------------------

@final
class Correlation:
    """What the records of one piece of work say of where they come from. Immutable and hashable."""

    def __new__(
        cls,
        id: str | None = None,
        *,
        actor: str | None = None,
        tags: Iterable[str] | None = None,
        cause: int | None = None,
        read_only: bool = False,
    ) -> Self: ...
    @property
    def read_only(self) -> bool:
        """Whether nothing may be written where it is the current one: what is replayed runs so."""
    @property
    def id(self) -> str | None:
        """The correlation id, or None."""
    @property
    def actor(self) -> str | None:
        """Who asked for it, or None."""
    @property
    def tags(self) -> tuple[str, ...]:
        """Names to find it by."""
    @property
    def cause(self) -> int | None:
        """The version of what caused it, or None."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def correlation_var() -> ContextVar[Correlation]:
    """Private: the variable with the current one. From the first call on every write looks at it."""

# store ------------------------------------------------------------

@final
class EntryBuffer:
    """Keeps an entry alive for arrays and memoryviews that point into its value."""

    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Items:
    """Keys and values of a scope as they were when asked for."""

    def __iter__(self) -> Iterator[tuple[str, Any]]: ...
    def __next__(self) -> tuple[str, Any]: ...
    def __length_hint__(self) -> int: ...

@final
class Change:
    """One committed change, or one event. Immutable and hashable.

    Cost: about 0.2 us in a feed; each attribute is made when it is asked for.
    """

    __match_args__: ClassVar[tuple[str, ...]]
    @property
    def _time_us(self) -> int: ...
    @property
    def _pos(self) -> int: ...
    @property
    def version(self) -> int:
        """Its version; strictly increasing over all scopes."""
    @property
    def at(self) -> datetime:
        """When it was written, in UTC, by the clock of the writer's machine."""
    @property
    def operation(self) -> Operation:
        """``"set"``, ``"delete"``, ``"clear"`` (of the whole scope), ``"expire"`` (a delete because the time was over,
        written in the background some time after) or ``"event"``."""
    @property
    def scope(self) -> StateScope:
        """Where."""
    @property
    def key(self) -> str | None:
        """Which key; of an event its type; None for a clear."""
    @property
    def state_class(self) -> StateClass:
        """Class of the value."""
    @property
    def in_batch(self) -> bool:
        """Whether the next version belongs to the same batch."""
    @property
    def expires_at(self) -> datetime | None:
        """From when on the value is not there, in UTC; None: it stays, or nothing was set."""
    @property
    def value(self) -> Any:
        """The value that was set, or the data of an event, decoded at each access; None for every other operation."""
    @property
    def correlation(self) -> str | None:
        """The correlation id; None when there was none."""
    @property
    def actor(self) -> str | None:
        """Who asked for it; None when that was not said."""
    @property
    def cause(self) -> int | None:
        """The version of the record or event that caused it; None when that was not said."""
    @property
    def tags(self) -> tuple[str, ...]:
        """Names to find it by."""
    @property
    def digest(self) -> int:
        """XXH3-64 of what it says to a hook: operation, scope, key, class and encoded value."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    @classmethod
    def _restore(cls, parts: tuple[Any, ...]) -> Self: ...

@final
class Changes(Iterator[Change]):
    """Committed changes in the order of their versions, up to the last one there is.

    Iterating again after the end goes on with what was committed since, without reading anything twice.
    """

    def __iter__(self) -> Self: ...
    def _change_of(self, version: int, pos: int) -> Change: ...
    def __next__(self) -> Change: ...

@disjoint_base
class Events:
    """The events of one store."""

    def __new__(cls, store: Store) -> Self: ...
    def _emit(self, scope: StateScope, event: str, data: Any, cause: int | None, acknowledge: bool) -> int: ...

@disjoint_base
class Batch:
    """Operations to commit as one."""

    def __new__(cls, store: Store) -> Self: ...
    def set(
        self,
        scope: StateScope,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> None:
        """Add: store `value` under `key`. The value is encoded now; later changes to it do not count. `ttl_s`, too,
        counts from now."""
    def delete(self, scope: StateScope, key: str, *, if_version: int | None = None) -> None:
        """Add: remove `key`."""
    def _copy(self, scope: StateScope, key: str, to: str) -> int: ...
    def discard(self) -> None:
        """Drop what was added so far, so that the batch is empty again. Nothing once it is committed."""
    def commit(self, *, acknowledge: bool = True) -> int:
        """Commit; return the last version written, or 0 when there was nothing to write."""
    @property
    def versions(self) -> list[int] | None:
        """The version of each call after the commit, in order: 0 for a delete of nothing; None before."""
    def __len__(self) -> int: ...

@disjoint_base
class ScopeHandle:
    """One scope of one store, found once."""

    def __new__(cls, store: Store, scope: StateScope, state_class: StateClass | None = None) -> Self: ...
    @property
    def store(self) -> Any:
        """The store that it belongs to."""
    @property
    def scope(self) -> StateScope:
        """The scope."""
    def set(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int:
        """Store `value` under `key`; return its version. See ``StateManager.set``."""
    def _set_unacknowledged(
        self,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int: ...
    def get(self, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`."""
    def view(self, key: str) -> Any:
        """A lazy view of the value under `key`. See ``StateManager.view``."""
    def entry(self, key: str) -> Entry:
        """The value under `key` with its version, times and class.

        Raises: KeyMissing (key.missing); InvalidKey; Corrupted (value.malformed, value.seal_broken); AccessDenied
            (seal.key); Closed, Forked.
        """
    def _entry_or_none(self, key: str) -> Entry | None: ...
    def delete(self, key: str, *, if_version: int | None = None) -> int:
        """Remove `key`; return the tombstone's version, or 0 when there was nothing."""
    def exists(self, key: str) -> bool:
        """Whether there is a value under `key`."""
    def list_keys(self, prefix: str = "") -> list[str]:
        """The keys that start with `prefix`, in order."""
    def iter_items(self, prefix: str = "") -> Items:
        """Keys and values whose key starts with `prefix`, as they are now."""
    def version(self, key: str) -> int:
        """The version under `key`, or 0 when there is nothing."""
    def _stamp(self, key: str) -> tuple[int, int] | None: ...
    def _stamps(self, prefix: str = "") -> list[tuple[str, int, int]]: ...
    def _replace(self, key: str, value: Any) -> tuple[int, bool]: ...
    def _add_numbered(self, prefix: str, number: int, value: Any) -> int: ...
    def _holds(self, key: str, value: Any) -> bool: ...
    def _numbered(self, prefix: str, start: int, stop: int) -> list[Any]: ...
    def _numbered_equal(self, prefix: str, start: int, values: list[Any]) -> int: ...
    def _numbered_find(self, prefix: str, start: int, stop: int, value: Any) -> int | None: ...
    def _numbered_end(self, prefix: str, start: int) -> int: ...
    def __getitem__(self, key: str, /) -> Any: ...
    def __setitem__(self, key: str, value: Any, /) -> None: ...
    def __delitem__(self, key: str, /) -> None: ...
    def __len__(self) -> int: ...

@disjoint_base
class ReadView:
    """The store as it was at one moment."""

    def __new__(cls, store: Store, *, max_age_s: float | None = None) -> Self: ...
    @property
    def version(self) -> int:
        """The last version that it sees."""
    @property
    def ended(self) -> bool:
        """Whether it shows nothing any more."""
    def get(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`. Each call builds a new object.

        Raises: ViewEnded (view.ended); InvalidKey; Corrupted (value.malformed); Forked.
        Cost: as ``StateManager.get``, and one more lookup if the key was written since.
        """
    def entry(self, scope: StateScope, key: str) -> Entry:
        """The value under `key` with its version, times and class.

        Raises: KeyMissing (key.missing); ViewEnded (view.ended); InvalidKey; Corrupted (value.malformed); Forked.
        """
    def exists(self, scope: StateScope, key: str) -> bool:
        """Whether there is a value under `key`."""
    def list_keys(self, scope: StateScope, prefix: str = "") -> list[str]:
        """The keys of a scope that start with `prefix`, ordered by code point.

        Cost: O(log n), the keys found, and those that came or went since the last list; the first list of a scope sorts
        its keys, which are then kept in order.
        """
    def items(self, scope: StateScope, prefix: str = "") -> Items:
        """Keys and values of a scope, ordered by key; each value is decoded when it is reached, also after the end."""
    def list_scopes(self) -> list[StateScope]:
        """The scopes that hold a key, in order. Cost: O(keys of the store)."""
    def close(self) -> None:
        """End it, and free what no other view needs. Closing twice is nothing."""
    def _check(self) -> None: ...

@disjoint_base
class Store:
    """An open store: the base of ``StateManager``."""

    def __new__(
        cls,
        path: str | os.PathLike[str] | None,
        *,
        durability: str,
        interval_ms: int,
        limits: Limits | None,
        ring_bytes: int,
        segment_bytes: int,
        mapped_ring: bool | None,
        keep_log_bytes: int | None,
        keep_log_days: float,
        checkpoint_log_bytes: int,
        memory_budget_bytes: int | None,
        view_budget_bytes: int,
        read_only: bool,
        allow_damage: bool,
        sealing_keys: list[bytes] | None = None,
        hold_log: int | None = None,
    ) -> Self: ...
    def set(
        self,
        scope: StateScope,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int:
        """Store `value` under `key`; return its version, the record's place in the order of all records.

        Afterwards every reader sees it, and it survives what the durability of the store says.

        Args:
            if_version: write only if this is the live version; 0 = only if there is no value.
            ttl_s: how many seconds the value is there, above 0 and up to a hundred years; None: for ever, also when a
                former value had an end. From then on nobody sees it, and its history shows ``expire``.
            state_class: how the value is treated; `StateClass.STANDARD` unless given.
        Raises:
            AccessDenied (seal.key): it is of class SENSITIVE, and the store was opened without ``sealing_keys``;
                (seal.class): the value there is sealed, and no `state_class` was given. Nothing was written.
            Conflict (cas.version_mismatch): `if_version` is not the live version. Nothing was written.
            InvalidKey (key.*); LimitExceeded, NotSerializable (value.*) with ``path``; LimitExceeded
                (ttl.out_of_range): the call needs fixing.
            StorageFailed (storage.full): no room; free some space and try again. Nothing was written.
            Poisoned (store.poisoned), Closed, Forked: the store takes no more writes.
        Cost: one walk over the value; no wait unless the ring is full or the durability is ``"sync"``.
        """
    def _set_unacknowledged(
        self,
        scope: StateScope,
        key: str,
        value: Any,
        *,
        if_version: int | None = None,
        ttl_s: float | None = None,
        state_class: StateClass | None = None,
    ) -> int: ...
    def get(self, scope: StateScope, key: str, default: Any = None) -> Any:
        """The value under `key`, or `default`. Each call builds a new object.

        Raises: InvalidKey; Corrupted (value.malformed, value.seal_broken); AccessDenied (seal.key): it is sealed with
            none of the store's keys; Closed, Forked.
        Cost: one hash lookup without a lock, and the decoding.
        """
    def view(self, scope: StateScope, key: str) -> Any:
        """A lazy, read-only view of the value under `key`: only what is asked of it is read.

        Returns: a `DictView` of a dict, a `SequenceView` of a list or tuple. Any other value comes as ``get`` gives it,
            but bytes as a read-only memoryview and arrays read-only, both without a copy. It shows the value as it is
            now, also when the key is overwritten and when the store is closed.
        Raises: KeyMissing (key.missing); InvalidKey; Corrupted (value.malformed), then or when damage is reached;
            AccessDenied (seal.key); Closed, Forked.
        Cost: one hash lookup without a lock; a field or item of a large value takes about a microsecond.
        """
    def entry(self, scope: StateScope, key: str) -> Entry:
        """The value under `key` with its version, times and class.

        Raises: KeyMissing (key.missing); InvalidKey; Corrupted (value.malformed); Closed, Forked.
        """
    def delete(self, scope: StateScope, key: str, *, if_version: int | None = None) -> int:
        """Remove `key`; return the tombstone's version, or 0 when there was nothing and nothing was written.

        Raises: as ``set``.
        """
    def _delete_unacknowledged(self, scope: StateScope, key: str, *, if_version: int | None = None) -> int: ...
    def exists(self, scope: StateScope, key: str) -> bool:
        """Whether there is a value under `key`."""
    def list_keys(self, scope: StateScope, prefix: str = "") -> list[str]:
        """The keys of a scope that start with `prefix`, ordered by code point.

        Cost: O(log n), the keys found, and those that came or went since the last list; the first list of a scope sorts
        its keys, which are then kept in order.
        """
    def items(self, scope: StateScope, prefix: str = "") -> Items:
        """Keys and values of a scope as they are now, ordered by key; each value is decoded when it is reached."""
    def _clear(self, scope: StateScope, *, acknowledge: bool = True) -> tuple[int, int]: ...
    def list_scopes(self) -> list[StateScope]:
        """The scopes that hold a key, in order."""
    def history(self, scope: StateScope, key: str, *, limit: int = 100) -> list[Change]:
        """The last changes of one key, newest first, deletes, expiries and clears among them.

        As far back as the log goes (``keep_log_bytes``, ``keep_log_days``); the change that a live value comes from is
        there in any case.

        Args:
            limit: most changes, at least 0.
        Raises: Corrupted (log.damaged) when a record does not hold; InvalidKey; StorageFailed; Closed, Forked.
        Cost: one read of the log per change; no lock that writers use is held.
        """
    def changes(self, *, since: int = 0) -> Changes:
        """All committed changes with a version above `since`, oldest first, of every scope, and all events.

        Args:
            since: 0 begins with the oldest change that the log has.
        Raises: LimitExceeded (log.trimmed) when the log no longer goes back to `since`; Corrupted (log.damaged) when a
            record does not hold; StorageFailed; Closed, Forked.
        Cost: one sequential read of the log. It begins at most 256 KiB before `since` where that was written since the
            opening, else with the segment that holds it; who goes on with a cursor reads nothing twice.
        """
    def _wait_changes(self, after: int, timeout_s: float) -> int: ...
    def _hold_log(self, version: int | None) -> None: ...
    def _acknowledge(self, version: int) -> int: ...
    def flush(self) -> int:
        """Make everything written so far durable; return the last version that is.

        Raises: Poisoned (store.poisoned) when it is not; Closed, Forked.
        """
    def _damage_rows(self) -> list[tuple[str, int, int, str, int, int]]: ...
    def _verified_dict(self) -> dict[str, Any]: ...
    def _use_hooks(self, table: HookTable) -> None: ...
    def _request_sync(self) -> None: ...
    def _add_waker(self, fd: int) -> None: ...
    def _check_open(self) -> None: ...
    def _check_writable(self) -> None: ...
    def _check_poison(self) -> None: ...
    @property
    def read_only(self) -> bool:
        """Whether it was opened with ``read_only``: a view of what was there then."""
    @property
    def last_version(self) -> int:
        """Last version given out; 0 when nothing was ever written."""
    @property
    def durable_version(self) -> int:
        """Last version known durable."""
    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
    @property
    def forked(self) -> bool:
        """Whether this process is a fork of the one that opened the store."""
    @property
    def durability(self) -> Literal["process", "interval", "sync"]:
        """The durability word in force."""
    def checkpoint(self) -> int:
        """Let the snapshots take over what the log holds, now and not when enough has come; return their version.

        Afterwards everything written so far is durable, both snapshots have it, and the log before it is gone, as far
        as ``keep_log_bytes`` and ``keep_log_days`` allow. Reads and writes go on meanwhile.

        Raises: StorageFailed (storage.full, storage.io); Corrupted; Poisoned; Closed, Forked. Nothing is lost then.
        Cost: reads the log since the last checkpoint twice and writes each changed entry twice.
        """
    def _recovery_dict(self) -> dict[str, Any]: ...
    def _stats_dict(self) -> dict[str, Any]: ...
    def close(self) -> None:
        """Take no more calls, make everything durable, give the directory up. Closing twice is nothing.

        Raises: Poisoned (store.poisoned) when something could not be made durable; the directory is given up anyway.
        """

def store_verify(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Verify the store in a directory without changing anything, damaged or not."""

def store_salvage(path: str | os.PathLike[str], new_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Write what is whole of a store into a new one."""

# hooks ------------------------------------------------------------

@final
class HookFilter:
    """Which operations a hook is for."""

    def __new__(
        cls,
        *,
        kinds: int | None = None,
        classes: int | None = None,
        scope: str | None = None,
        key: str | None = None,
    ) -> Self: ...
    def lets(self, scope: StateScope, key: str | None, class_number: int | None) -> bool:
        """Whether it lets an operation through; `key` is None for a clear, the class for every removal."""

@final
class HookContext:
    """One operation that is about to happen. Nothing is decoded before it is asked for."""

    @property
    def operation(
        self,
    ) -> Literal["set", "delete", "clear", "batch", "agent_save", "agent_load", "session_start", "session_end"]:
        """What is about to happen."""
    @property
    def scope(self) -> StateScope | None:
        """Where; None of a batch."""
    @property
    def key(self) -> str | None:
        """Which key; None of everything but a set and a delete."""
    @property
    def value(self) -> Any:
        """The value, decoded anew at each access: of a set, of the save of an agent, of a session. Else None."""
    @property
    def value_bytes(self) -> int:
        """Encoded bytes of the value."""
    @property
    def state_class(self) -> StateClass | None:
        """Class of the value of a set; else None."""
    @property
    def old_value(self) -> Any:
        """The value that is there now, decoded anew at each access; None: nothing is."""
    @property
    def version(self) -> int:
        """The version of what is there now; 0: nothing is. Of a load the one that is asked for; 0: the last."""
    def recorded(self, function: Callable[[], Any]) -> Any:
        """What `function` returns, kept with this execution: a replay is given that, and does not call it.

        Raises: LimitExceeded (hook.recorded) above 4 KiB for each execution; NotSerializable; what `function` raises.
        """
    @property
    def if_version(self) -> int | None:
        """The version that the caller wants to be there; None: any."""
    @property
    def operations(self) -> tuple[HookContext, ...] | None:
        """The contexts of a batch's operations, in order; else None."""
    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict that the hooks of this operation share."""
    @property
    def digest(self) -> int:
        """XXH3-64 of what the hook is given."""
    @property
    def correlation(self) -> str | None:
        """The correlation id of what is going on here, or None."""
    @property
    def actor(self) -> str | None:
        """Who asks for it, or None."""
    @property
    def state(self) -> Any:
        """The store; None when it is gone."""
    @property
    def _old_shown(self) -> tuple[Any, bool]: ...
    @property
    def _saw_sealed(self) -> bool: ...
    @property
    def _class_number(self) -> int: ...
    @property
    def _recorded(self) -> list[bytes]: ...

@final
class HookAsked:
    """That no hook refused."""

    @property
    def value(self) -> Any:
        """The value as the hooks leave it."""
    def done(self, version: int) -> None:
        """Say which version came of it."""

@disjoint_base
class Hook:
    """A hook that is registered."""

    def __new__(
        cls, call: Callable[[Any], Any], filter: HookFilter, *, fail_closed: bool, budget_s: float, records: bool
    ) -> Self: ...
    @property
    def _free(self) -> bool: ...
    def _set_free(self, free: bool) -> None: ...
    def _count(self, outcome: int, ns: int) -> None: ...
    def _take_notes(self) -> list[Any]: ...
    def _figures(self) -> dict[str, Any]: ...

@final
class HookTable:
    """The hooks of a store, per point in the order in which they run."""

    def __new__(cls, state: Store, points: Sequence[Sequence[Hook]]) -> Self: ...

def hook_ask(
    store: Store, table: HookTable, operation: str, scope: StateScope, value: Any = None, version: int = 0
) -> HookAsked:
    """Run the hooks before `operation`; raises what a validator says."""

def hook_digest(operation: str, scope: StateScope, key: str, class_number: int, value: bytes) -> int:
    """The digest of what a hook is given of an operation; `value` is encoded; what there is none of is empty."""

def hook_pick(
    filter: HookFilter, changes: list[Change], operations: Sequence[str], depth_max: int
) -> tuple[list[Change], list[int], int]:
    """Of committed changes, those that a hook is for, how many hooks deep each is, and how many were too deep."""

def hook_deliver(hook: Hook, changes: list[Change], depths: list[int], start: int) -> tuple[int, Any, int]:
    """Call the hook with the changes from `start` on while all goes well: how many that were, and what else it said."""

def hook_call(hook: Hook, given: Any, origin: Correlation) -> Any:
    """Call a hook once with what it is given, as part of `origin`."""
