"""Which classes a checkpoint may hold. Stored bytes name tags; what a tag means is decided here and by `allow`, never
by importing what the bytes name.

LangChain's messages and documents, LangGraph's own types, and what the standard library has for values are known. Other
classes are known once the program has said so: ``allow(Plan, Mood)``, or ``SpellkeepSaver(state, types=[Plan, Mood])``.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import enum
import ipaddress
import pathlib
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.documents import Document
from langgraph.checkpoint.serde.types import _DeltaSnapshot as DeltaSnapshot
from langgraph.store.base import Item, SearchItem
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy

from spellkeep.adapters.langgraph import messages
from spellkeep.errors import NotSerializable, StateError
from spellkeep.value import encode, register

_DEPTH_MAX = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """In place of a long text that another element has: which one, and whether it is a message with this content."""

    element: int
    inside: bool


def number_of(text: Text) -> int:
    """A place as a number."""
    return -1 - text.element if text.inside else text.element


def text_of(number: int) -> Text:
    """The place that `number_of` was given."""
    return Text(-1 - number, True) if number < 0 else Text(number, False)


def _from_text(cls: Any) -> Callable[[Any, int], Any]:
    return lambda payload, version: cls(payload)


def _send(payload: Any, version: int) -> Send:
    return Send(payload[0], payload[1], timeout=payload[2] if len(payload) > 2 else None)


def _item(cls: Any) -> tuple[Callable[[Any], Any], Callable[[Any, int], Any]]:
    names = ("value", "key", "namespace", "created_at", "updated_at", *(("score",) if cls is SearchItem else ()))
    return lambda item: {name: getattr(item, name) for name in names}, lambda payload, version: cls(**payload)


def _interrupt(interrupt: Interrupt[Any]) -> list[Any]:
    schema = interrupt.response_schema
    # A surfaced interrupt has a JSON schema; the class that it was made from cannot be kept.
    return [interrupt.value, interrupt.id, schema if isinstance(schema, dict) else None]


def _register_all() -> None:
    # Subclasses of str, made from the text that str() gives.
    texts: tuple[Any, ...] = (
        *(ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
        *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network),
        *(type(pathlib.Path()), pathlib.PurePosixPath, pathlib.PureWindowsPath),
    )
    for cls in texts:
        register(cls, tag="py:" + cls.__name__, encode=str, decode=_from_text(cls))
    deque = collections.deque
    register(
        deque,
        tag="py:deque",
        encode=lambda items: [list(items), items.maxlen],
        decode=lambda payload, version: deque(payload[0], payload[1]),
    )
    register(
        re.Pattern,
        tag="py:Pattern",
        encode=lambda pattern: [pattern.pattern, pattern.flags],
        decode=lambda payload, version: re.compile(payload[0], payload[1]),
    )
    register(
        Text,
        tag="lg:t",
        encode=number_of,
        decode=lambda payload, version: text_of(payload),
    )
    register(
        DeltaSnapshot,
        tag="lg:delta",
        encode=lambda snapshot: snapshot.value,
        decode=lambda payload, version: DeltaSnapshot(payload),
    )
    register(
        Send,
        tag="lg:Send",
        encode=lambda send: [send.node, send.arg, *([send.timeout] if send.timeout is not None else [])],
        decode=_send,
    )
    register(
        Interrupt,
        tag="lg:Interrupt",
        encode=_interrupt,
        decode=lambda payload, version: Interrupt(payload[0], payload[1], response_schema=payload[2]),
    )
    for cls in (Command, Overwrite, TimeoutPolicy, StateSnapshot, PregelTask):
        register(cls, tag="lg:" + cls.__name__)
    for cls in (Item, SearchItem):
        pack, unpack = _item(cls)
        register(cls, tag="lg:" + cls.__name__, encode=pack, decode=unpack)
    register(Document, tag="lc:Document")


_register_all()


def tag_of(cls: type) -> str:
    """What stored data calls a class that `allow` was given."""
    return f"{cls.__module__}:{cls.__qualname__}"


def allow(*classes: type) -> None:
    """Let checkpoints hold objects of these classes: dataclasses, pydantic models, enums, namedtuples, attrs, msgspec.

    They are registered under ``module:name``, for the whole process. Give ``spellkeep.register`` functions of your own
    for other kinds of classes, and a tag where a class may be renamed.

    Raises: TypeError for a class of another kind.
    """
    for cls in classes:
        register(cls, tag=tag_of(cls))


def blob_of(value: Any, *, register_new: bool = False) -> bytes:
    """The bytes of a value.

    What cannot be kept as it is is kept as LangGraph's own serializer makes it: subclasses of builtin types as their
    base, exceptions as the text of their ``repr``.

    Args:
        register_new: `allow` the classes of objects that are met.
    Raises: NotSerializable (value.type) naming the class.
    """
    try:
        return encode(value)
    except NotSerializable:
        return encode(_softened(value, register_new, 0))


def _softened(value: Any, register_new: bool, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return value
    try:
        encode(value)
        return value
    except StateError:
        pass

    def softened(part: Any) -> Any:
        return _softened(part, register_new, depth + 1)

    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, enum.Enum):
        return _registered(value, register_new)
    if isinstance(value, dict):
        return {softened(key): softened(part) for key, part in value.items()}
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return _rebuilt(value, register_new, lambda: type(value)(*map(softened, value)))
        return tuple(map(softened, value))
    for base in (list, set, frozenset, collections.deque):
        if isinstance(value, base):
            return base(map(softened, value))
    for plain in (str, int, float, bytes, datetime.datetime, datetime.date):
        if isinstance(value, plain) and type(value) is not plain:
            return _plain(plain, value)
    if type(value) is Send:
        return Send(value.node, softened(value.arg), timeout=value.timeout)
    if type(value) is Interrupt:
        return Interrupt(softened(value.value), value.id, response_schema=value.response_schema)
    if type(value) is DeltaSnapshot:
        return DeltaSnapshot(softened(value.value))
    if dataclasses.is_dataclass(value) or hasattr(value, "__pydantic_fields__"):
        names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else None
        return _rebuilt(value, register_new, lambda: _with_fields(value, softened, names))
    return _registered(value, register_new)


def _plain(base: type, value: Any) -> Any:
    if base is datetime.datetime:
        return datetime.datetime.fromisoformat(value.isoformat())
    if base is datetime.date:
        return datetime.date.fromisoformat(value.isoformat())
    if base is str:
        return str.__str__(value)
    return bytes.__add__(value, b"") if base is bytes else base.__pos__(value)  # type: ignore[operator]


def _with_fields(value: Any, softened: Callable[[Any], Any], names: list[str] | None) -> Any:
    made = object.__new__(type(value))
    if names is None:
        object.__setattr__(made, "__dict__", {name: softened(part) for name, part in value.__dict__.items()})
        for slot in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
            object.__setattr__(made, slot, getattr(value, slot))
        return made
    for name in names:
        object.__setattr__(made, name, softened(getattr(value, name)))
    return made


def _rebuilt(value: Any, register_new: bool, rebuild: Callable[[], Any]) -> Any:
    made = rebuild()
    try:
        encode(made)
        return made
    except NotSerializable:
        return _registered(made, register_new)


def _registered(value: Any, register_new: bool) -> Any:
    cls = type(value)
    if register_new:
        try:
            allow(cls)
            encode(value)
            return value
        except (TypeError, NotSerializable):
            pass
    raise NotSerializable(
        f"cannot keep a {tag_of(cls)} in a checkpoint: name its class with SpellkeepSaver(types=[{cls.__name__}]) or "
        "allow(...), or register functions for it with spellkeep.register",
        code="value.type",
    )


def allow_named(names: Iterable[tuple[str, ...]]) -> None:
    """`allow` classes by module and name that this process has imported already; others are left out."""
    for module, *path in names:
        found: Any = sys.modules.get(module)
        for part in path:
            found = getattr(found, part, None)
        if isinstance(found, type) and found not in messages.known:
            with contextlib.suppress(TypeError):
                allow(found)
