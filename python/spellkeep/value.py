"""Values: what can be kept, and the classes that a program registers so that their objects can be kept too.

Kept with their exact type: None, bool, int of any size, float to the bit, str with lone surrogates too, bytes,
bytearray, list, tuple, dict with any key that can be kept, set, frozenset, datetime, date, time, timedelta (zones:
``datetime.timezone``, ZoneInfo), Decimal, UUID, complex, numpy arrays and scalars of fixed-size dtypes, `Tagged`, and
objects of registered classes.

Subclasses (OrderedDict, IntEnum, namedtuple, ...) are refused unless registered: kept as their base they would come
back as something else. A memoryview is refused: what it looks at is not its own.

Stored data never names code. It holds a tag; what the tag means is decided by what this process has registered, and a
tag that it has not registered comes back as an inert `Tagged`.

A `DictView` or `SequenceView` looks into a large value without rebuilding it: ``state.view``.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from spellkeep import _core
from spellkeep._core import DictView, Limits, ModelFields, Pictures, SequenceView, Substitution, Tagged
from spellkeep._core import value_bundle as bundle
from spellkeep._core import value_changed as changed
from spellkeep._core import value_copies as copies
from spellkeep._core import value_decode as decode
from spellkeep._core import value_difference as difference
from spellkeep._core import value_encode as encode
from spellkeep._core import value_gather as gather
from spellkeep._core import value_time_us as time_us
from spellkeep._core import value_uuid_bytes as uuid_bytes
from spellkeep._core import value_view as view
from spellkeep._kinds import codec_of

__all__ = [
    "DictView",
    "Limits",
    "ModelFields",
    "Pictures",
    "SequenceView",
    "Substitution",
    "Tagged",
    "bundle",
    "changed",
    "copies",
    "decode",
    "difference",
    "encode",
    "gather",
    "register",
    "registered_meanwhile",
    "time_us",
    "uuid_bytes",
    "view",
]

Mapping.register(DictView)
Sequence.register(SequenceView)

C = TypeVar("C", bound=type)
_MISSING = object()

_NATIVE = frozenset(
    {
        *(type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, object),
        *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID, Tagged),
    }
)

# The extension reads these two on its way; everything else about registering is here.
_by_class: dict[type, tuple[str, int, Callable[[Any], Any]]] = {}
_by_tag: dict[str, Callable[[Any, int], Any]] = {}
_owners: dict[str, type] = {}
_registering = threading.Lock()
# What is registered for a while only, and for how many.
_borrowed: dict[type, list[Any]] = {}
_borrowing = threading.Lock()
_core.value_use_registry(_by_class, _by_tag)


def _begin_anew() -> None:
    """In a forked child the locks may be held by a thread that is not there."""
    global _registering, _borrowing
    _registering, _borrowing = threading.Lock(), threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)


@overload
def register(cls: C) -> C: ...
@overload
def register(
    cls: C,
    *,
    tag: str | None = None,
    version: int = 1,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any, int], Any] | None = None,
) -> C: ...
@overload
def register(
    *,
    tag: str | None = None,
    version: int = 1,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any, int], Any] | None = None,
) -> Callable[[C], C]: ...
def register(
    cls: Any = None,
    *,
    tag: str | None = None,
    version: int = 1,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any, int], Any] | None = None,
) -> Any:
    """Let objects of exactly this class be kept; usable as a call and as a decorator, with and without arguments.

    Dataclasses, pydantic v2 models, msgspec Structs, attrs classes, namedtuples and enums need no more than this.
    Fields are kept by name. On the way back missing fields get their defaults, and unknown ones are an error.
    ``__init__``, ``__post_init__`` and validators do not run (for msgspec Structs the constructor does); private
    attributes of pydantic models get their defaults. Enum members are kept by name, flags by value.

    A class may be registered under several tags: it is kept under the last and read under each. A class of the same
    module and qualified name replaces the one before, so modules can be reloaded and notebook cells run again.

    Args:
        tag: what stored data calls the class, 1 to 256 UTF-8 bytes. By default the class's ``__name__``; give one where
            the class may be renamed, or where two libraries might register the same name.
        version: 0 to 2**32 - 1, kept with each object. Raise it when the fields change.
        encode: ``encode(obj)`` returns a payload that can be kept. Required for other kinds of classes.
        decode: ``decode(payload, version)`` returns the object, for every stored version. Required together with
            ``encode``; alone it reads what the default encode wrote: a dict of fields (pydantic: a dict of ``fields``,
            ``set`` and ``extra``; enums: a name or a number).
    Returns: the class.
    Raises:
        TypeError: this kind of class needs ``encode`` and ``decode``, or is kept natively.
        ValueError: the tag belongs to another class, or tag or version is out of range.
    Source: docs/guide/values.md, Your own classes.
    """
    if cls is None:
        return lambda decorated: register(decorated, tag=tag, version=version, encode=encode, decode=decode)
    if not isinstance(cls, type):
        raise TypeError(f"register takes a class, not {cls!r}")
    if cls in _NATIVE:
        raise TypeError(f"{cls.__qualname__} is kept natively")
    tag = cls.__name__ if tag is None else tag
    if not isinstance(tag, str) or not 1 <= len(tag.encode()) <= 256:
        raise ValueError(f"tag {tag!r}: 1 to 256 UTF-8 bytes")
    if type(version) is not int or not 0 <= version < 2**32:
        raise ValueError(f"version {version!r}: 0 to 4294967295")
    encode, decode = _complete(cls, tag, version, encode, decode)
    with _registering:
        owner = _owners.get(tag)
        if owner is not None and owner is not cls:
            if (owner.__module__, owner.__qualname__) != (cls.__module__, cls.__qualname__):
                raise ValueError(
                    f"tag {tag!r} belongs to {owner.__module__}.{owner.__qualname__}: "
                    f"give {cls.__qualname__} a tag of its own"
                )
            _by_class.pop(owner, None)
        _owners[tag] = cls
        _by_tag[tag] = decode
        _by_class[cls] = (tag, version, encode)
    return cls


@contextlib.contextmanager
def registered_meanwhile(tags: Mapping[type, str]) -> Iterator[None]:
    """Have classes registered under these tags while a ``with`` block runs, in all threads, and no longer.

    One that is registered otherwise, before or meanwhile, stays as it is, and registered.

    Raises: as `register`.
    """
    begun: list[type] = []
    try:
        for cls, tag in tags.items():
            with _borrowing:
                if cls in _borrowed:
                    _borrowed[cls][1] += 1
                elif cls not in _by_class:
                    register(cls, tag=tag)
                    _borrowed[cls] = [_by_class.get(cls), 1]
                else:
                    continue
                begun.append(cls)
        yield
    finally:
        for cls in begun:
            with _borrowing, _registering:
                _borrowed[cls][1] -= 1
                if _borrowed[cls][1] == 0:
                    entry, _ = _borrowed.pop(cls)
                    # Whoever registered it meanwhile made another entry.
                    if _by_class.get(cls, _MISSING) is entry:
                        tag, *_ = _by_class.pop(cls)
                        del _by_tag[tag], _owners[tag]


def _complete(
    cls: type,
    tag: str,
    version: int,
    encode: Callable[[Any], Any] | None,
    decode: Callable[[Any, int], Any] | None,
) -> tuple[Callable[[Any], Any], Callable[[Any, int], Any]]:
    if encode is not None:
        if decode is None:
            raise TypeError(f"{cls.__qualname__}: encode= needs decode= with it")
        return encode, decode
    codec = codec_of(cls, tag, version)
    if codec is None:
        raise TypeError(f"{cls.__qualname__} has no fields that can be read off: give encode= and decode=")
    return codec[0], codec[1] if decode is None else decode
