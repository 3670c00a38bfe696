"""Values as LangGraph's `JsonPlusSerializer` wrote them, read without importing what they name.

Its MessagePack has extensions that name a module, a class and arguments. A name is looked up in a table: the
types that every checkpoint may hold, and the classes that the caller gives. Anything else becomes an inert
``spellkeep.Tagged`` with the name as its tag, and is reported.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import ipaddress
import json
import pathlib
import re
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any

import ormsgpack
from langchain_core.documents import Document
from langgraph.checkpoint.serde.types import _DeltaSnapshot as DeltaSnapshot
from langgraph.store.base import Item
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy

from spellkeep import Tagged
from spellkeep.adapters.langgraph.messages import CLASSES
from spellkeep.adapters.langgraph.types import blob_of
from spellkeep.errors import StateError

_SINGLE, _POSITIONAL, _KEYWORDS, _METHOD, _PYDANTIC_1, _PYDANTIC_2, _ARRAY, _DELTA = range(8)
Make = Callable[..., Any]


def _pattern(pattern: str | bytes, flags: int) -> Any:
    return re.compile(pattern, flags)


def _send(node: str, arg: Any, timeout: Any = None) -> Send:
    return Send(node, arg, timeout=timeout)


def _table() -> dict[tuple[str, str], Make]:
    plain: tuple[Any, ...] = (
        *(datetime.date, datetime.time, datetime.timedelta, datetime.timezone, uuid.UUID, decimal.Decimal),
        *(collections.deque, zoneinfo.ZoneInfo, ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
        *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network, set, frozenset),
        *(Document, Interrupt, Command, Overwrite, TimeoutPolicy, StateSnapshot, PregelTask, Item, *CLASSES),
    )
    table: dict[tuple[str, str], Make] = {(cls.__module__, cls.__name__): cls for cls in plain}
    for module in ("pathlib", "pathlib._local"):
        for name in ("Path", "PosixPath", "WindowsPath"):
            table[module, name] = pathlib.PureWindowsPath if name == "WindowsPath" else pathlib.Path
    table["datetime", "datetime"] = datetime.datetime.fromisoformat
    table["re", "compile"] = _pattern
    table["langgraph.types", "Send"] = _send
    return table


class ForeignReader:
    """Reads typed bytes of LangGraph's savers.

    Attributes:
        unknown: names that were met and not known, with how often.
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._table = _table()
        self._own = {(cls.__module__, cls.__name__): cls for cls in types}
        self.unknown: collections.Counter[str] = collections.Counter()

    def read(self, kind: str | None, raw: bytes | None) -> Any:
        """The value. Raises: ValueError for bytes that are none of LangGraph's; a pickle is never loaded."""
        if kind == "null" or kind is None or raw is None:
            return None
        if kind == "bytes":
            return raw
        if kind == "bytearray":
            return bytearray(raw)
        if kind == "msgpack":
            return ormsgpack.unpackb(raw, ext_hook=self._extension, option=ormsgpack.OPT_NON_STR_KEYS)
        if kind == "json":
            return json.loads(raw, object_hook=self._object)
        raise ValueError(f"values of the kind {kind!r} are not read")

    def _object(self, found: dict[str, Any]) -> Any:
        if found.get("lc") in (1, 2) and found.get("type") == "constructor" and isinstance(found.get("id"), list):
            *module, name = map(str, found["id"])
            # LangChain's own spelling of where a message lives.
            known = {cls.__name__: cls for cls in CLASSES} if module[:1] == ["langchain"] else {}
            keywords, arguments = found.get("kwargs") or {}, tuple(found.get("args") or ())
            make = known.get(name)
            return make(**keywords) if make else self._made(".".join(module), name, arguments, keywords)
        return found

    def _extension(self, code: int, data: bytes) -> Any:
        parts = ormsgpack.unpackb(data, ext_hook=self._extension, option=ormsgpack.OPT_NON_STR_KEYS)
        if code == _DELTA:
            return DeltaSnapshot(parts)
        if code == _ARRAY:
            return self._array(parts)
        module, name, payload = parts[:3]
        if code in (_KEYWORDS, _PYDANTIC_1, _PYDANTIC_2):
            return self._made(module, name, (), payload)
        if code in (_SINGLE, _METHOD):
            return self._made(module, name, (payload,), {})
        if code == _POSITIONAL:
            return self._made(module, name, tuple(payload), {})
        raise ValueError(f"MessagePack extension {code} is none of LangGraph's")

    def _made(self, module: str, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        make = self._own.get((module, name)) or self._table.get((module, name))
        if make is not None:
            try:
                made = make(*arguments, **keywords)
                blob_of(made)
                return made
            except (StateError, ValueError, TypeError):
                pass
        self.unknown[f"{module}:{name}"] += 1
        payload = keywords if keywords or not arguments else arguments[0] if len(arguments) == 1 else list(arguments)
        return Tagged(f"{module}:{name}", 1, payload)

    @staticmethod
    def _array(parts: Any) -> Any:
        import numpy

        kind, shape, order, raw = parts
        return numpy.frombuffer(raw, dtype=numpy.dtype(kind)).reshape(shape, order=order)
