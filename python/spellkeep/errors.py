"""What can go wrong, one class per thing the caller can do about it.

Every error carries ``code``, a slug that never changes its meaning (``key.too_long``), and ``detail``, a sentence
that says what to do. Classes also inherit from the builtin that Python programmers already catch.

    fix the call            InvalidKey  LimitExceeded  NotSerializable  SchemaMismatch  KeyMissing
    try again               Conflict  StoreLocked  ViewEnded
    someone said no         HookVeto  AccessDenied
    open it for writing     ReadOnly
    stop, reopen, restore   StorageFailed  Corrupted  Poisoned  Closed  Forked
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AccessDenied",
    "Busy",
    "Closed",
    "Conflict",
    "Corrupted",
    "Forked",
    "HookVeto",
    "InvalidKey",
    "KeyMissing",
    "LimitExceeded",
    "NotSerializable",
    "Poisoned",
    "ReadOnly",
    "SchemaMismatch",
    "StateError",
    "StorageFailed",
    "StoreLocked",
    "ViewEnded",
]


class StateError(Exception):
    """The root of everything that Spellkeep raises.

    Attributes:
        code: stable slug, ``room.reason``.
        detail: one sentence for people: what happened and what to do.
    """

    code: str = "state.error"
    detail: str

    def __init__(self, detail: str = "", *, code: str | None = None, **fields: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code
        for name, value in fields.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: value for name, value in vars(self).items() if name != "detail"}
        if isinstance(self, OSError):
            # Kept outside of the dict, and outside of what OSError itself would pickle.
            fields |= {"errno": self.errno, "filename": self.filename}
        return (_rebuild, (type(self), self.detail, fields))


def _rebuild(cls: type[StateError], detail: str, fields: dict[str, Any]) -> StateError:
    return cls(detail, **fields)


class InvalidKey(StateError, ValueError):
    """A key, a scope, a hook's name or a part of a correlation breaks a rule of naming.

    Codes ``key.*``, ``scope.*``, ``correlation.*``, ``hook.name``, ``replay.name``; ``replay.path``: nothing is there.
    """


class LimitExceeded(StateError, ValueError):
    """A value, batch, time to live or option is beyond its limit.

    Codes ``value.*``, with the place inside the value as ``path``; ``batch.operations batch.bytes``;
    ``ttl.out_of_range``; ``view.count view.max_age``; ``store.option``; ``log.trimmed``: the log no longer goes back
    that far; ``hook.count hook.option``; ``hook.recorded``: more than an execution may record; ``hook.depth``: hooks
    that write run each other without end; ``replay.option replay.count``; ``replay.trimmed``: the log no longer has
    what a replayed hook asked for.
    """

    path: str | None = None


class NotSerializable(StateError, TypeError):
    """A value holds something that cannot be kept. Codes ``value.*``; ``path`` names the place (``$.a[3]``)."""

    path: str | None = None


class SchemaMismatch(StateError, TypeError):
    """A stored value does not fit the classes or libraries of this process. ``path`` names the place.

    Codes ``value.missing_field``, ``value.unknown_field``, ``value.unknown_member``, ``value.newer_version``,
    ``value.payload``: the registered class differs from the one that was kept; register it with a higher version and a
    decode function. Codes ``value.numpy_missing``, ``value.zone_missing``: install what the sentence says. Code
    ``agent.schema``: the scope of an agent is used for something else, or by a later version.
    """

    path: str | None = None


class KeyMissing(StateError, KeyError):
    """There is no live value under this key (``key.missing``), no hook of this name (``hook.missing``), or no schedule
    (``replay.missing``)."""


class Conflict(StateError):
    """The entry moved on since the version you based your change on. Code ``cas.version_mismatch``.

    ``hook.exists``: there is a hook of that name.

    Attributes:
        expected_version: what the caller passed as ``if_version``.
        current_version: what is stored now; 0 when there is no live value.
        current: the value stored now, or None.
    """

    expected_version: int = 0
    current_version: int = 0
    current: Any = None


class HookVeto(StateError):
    """A hook did not let the operation happen; nothing was written.

    Codes ``hook.veto``, ``hook.retry`` (not now), ``hook.failed`` (the hook raised, and nothing passes that it did not
    see; the cause has what), ``hook.breaker_open`` (it failed too often, and is held back).

    Attributes:
        hook: the name of the hook.
        reason: what it said.
        retry_after_s: of ``hook.retry``, when it may go.
    """

    code = "hook.veto"
    hook: str | None = None
    reason: str | None = None
    retry_after_s: float | None = None


class AccessDenied(StateError, PermissionError):
    """This needs a permission that was not given. Code ``access.denied``; the detail says how it is given.

    ``seal.key``: a sensitive value, and the store was opened without the key that seals or opens it. ``seal.class``: a
    sealed value would have been replaced by one that is not, and no class was given.
    """

    code = "access.denied"


class ViewEnded(StateError):
    """The read view shows nothing any more; take another. Code ``view.ended``; the detail says why."""


class StoreLocked(StateError, TimeoutError):
    """Another opener writes this directory. Code ``store.locked``; ``pid`` is the owner's, or None if unknown."""

    pid: int | None = None


class Busy(StateError, TimeoutError):
    """It takes longer than the caller would wait, and goes on. Codes ``autosave.busy replay.busy``."""


class StorageFailed(StateError, OSError):
    """The operating system refused. Codes ``storage.*``; ``store.missing`` (there is nothing to open read-only).

    ``errno`` and ``filename`` as in OSError.
    """


class ReadOnly(StateError, PermissionError):
    """Nothing is written: the store was opened with ``read_only=True`` (``store.read_only``), or what would write is
    being replayed (``replay.read_only``)."""


class Corrupted(StateError):
    """Stored bytes are not what was written.

    Codes ``log.damaged log.not_a_store value.malformed value.format_version``; ``value.seal_broken``: a sealed value
    is not as it was written, or not in its place.

    Attributes:
        file: path of the damaged file.
        offset: byte offset of the first bad byte range in it.
        length_bytes: its length; 0 when that is not known.
        last_good_version: the last version before the damage.
        next_good_version: the first whole version behind it, or None when that is not known.
    """

    file: str | None = None
    offset: int | None = None
    length_bytes: int | None = None
    last_good_version: int | None = None
    next_good_version: int | None = None


class Poisoned(StateError):
    """A write to disk failed earlier, so nothing more is acknowledged; reopen. Code ``store.poisoned``."""


class Closed(StateError):
    """The store was closed (``store.closed``), or the batch is committed (``batch.committed``)."""


class Forked(StateError):
    """The store was opened by the parent process; open it again here. Code ``store.forked``."""
