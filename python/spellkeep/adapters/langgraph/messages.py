"""LangChain's messages: how one is kept in few bytes, and how a checkpointed one is copied and compared at low cost.

A message is a pydantic model whose fields mostly have their defaults. Kept are the fields that do not, the id of 36
characters as 16 bytes, and which fields were set, if that is not the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core import messages
from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from spellkeep.adapters.langgraph.keys import bytes_uuid
from spellkeep.value import ModelFields, register

_KINDS = ("Human", "AI", "System", "Chat", "Tool", "Function")
CLASSES: tuple[type[BaseMessage], ...] = (
    *(getattr(messages, f"{kind}Message{tail}") for kind in _KINDS for tail in ("", "Chunk")),
    messages.RemoveMessage,
)
# A field is kept under its place here, another one under its name. Never reorder: places are in stores.
_FIELDS = (
    *("content", "id", "additional_kwargs", "response_metadata", "type", "name", "tool_calls", "invalid_tool_calls"),
    *("usage_metadata", "tool_call_id", "artifact", "status", "role", "tool_call_chunks", "chunk_position", "example"),
)
_CONSTANTS = frozenset({str, bool, int, type(None)})
_PLACES: dict[Any, int] = {name: place for place, name in enumerate(_FIELDS)}
_SET, _EXTRA, _ID = -1, -2, _FIELDS.index("id")
_put_fields = BaseModel.__dict__["__dict__"].__set__
_put_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_put_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_put_private = BaseModel.__dict__["__pydantic_private__"].__set__
PARTS = (BaseModel.__dict__["__dict__"], BaseModel.__dict__["__pydantic_extra__"])
"""What a message is made of, for `spellkeep.value.changed`."""


MADE_OF = (*PARTS, BaseModel.__dict__["__pydantic_fields_set__"], BaseModel.__dict__["__pydantic_private__"])
"""All that a copy needs, for `spellkeep.value.copies`."""

SHOWN = (*PARTS, BaseModel.__dict__["__pydantic_fields_set__"])
"""What the encoder looks at."""


def _tag(cls: type) -> str:
    """Short, as each message has it: ``lc:human``, ``lc:human+`` for chunks."""
    return "lc:" + cls.__name__.lower().replace("message", "").replace("chunk", "+")


def _register(cls: type[BaseMessage]) -> None:
    names = tuple(cls.model_fields)
    bits = {name: 1 << at for at, name in enumerate(names)}
    constants: dict[str, Any] = {}
    makers: dict[str, Callable[[], Any]] = {}
    # What of a field is not kept, since it is the same in every message.
    usual: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if field.default_factory in (dict, list):
            makers[name] = field.default_factory
            usual[name] = field.default_factory()
        elif not field.is_required() and field.default_factory is None:
            constants[name] = field.default
            if type(field.default) in _CONSTANTS:
                usual[name] = field.default
    # Which fields were set is kept only where it is not those that are kept.
    pack = ModelFields(usual, _PLACES, names, uuid="id", was_set=_SET, extra=_EXTRA)

    def unpack(kept: dict[Any, Any], version: int) -> BaseMessage:
        fields = {name: make() for name, make in makers.items()}
        fields.update(constants)
        extra = kept.pop(_EXTRA, None)
        is_set = kept.pop(_SET, None)
        if type(kept.get(_ID)) is bytes:
            kept[_ID] = bytes_uuid(kept[_ID])
        named = {_FIELDS[name] if type(name) is int else name: value for name, value in kept.items()}
        set_names = set(named) if is_set is None else {name for name in names if bits[name] & is_set}
        fields.update(named)
        return _made(cls, {name: fields[name] for name in names}, set_names, {} if extra is None else extra)

    register(cls, tag=_tag(cls), encode=pack, decode=unpack)


def _made(cls: Any, fields: dict[str, Any], set_names: set[str], extra: dict[str, Any]) -> BaseMessage:
    made: BaseMessage = cls.__new__(cls)
    _put_fields(made, fields)
    _put_set(made, set_names)
    _put_extra(made, extra)
    _put_private(made, None)
    return made


for _cls in CLASSES:
    _register(_cls)

known = frozenset(CLASSES)


def copied(message: BaseMessage, of_other: Callable[[Any], Any]) -> BaseMessage:
    """A message that shares nothing with this one that could change.

    Args:
        of_other: makes the copy of what is no text, None or empty container.
    """
    fields = message.__dict__.copy()
    for name, value in fields.items():
        kind = type(value)
        if kind is not str and value is not None:
            fields[name] = kind() if not value and (kind is dict or kind is list) else of_other(value)
    extra = message.__pydantic_extra__
    set_names = message.__pydantic_fields_set__.copy()
    return _made(type(message), fields, set_names, of_other(extra) if extra else {})
