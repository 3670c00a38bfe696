"""How objects of each kind of class become payloads and come back; chosen once, when a class is registered.

Nothing here runs validators or ``__init__`` where a kind allows it: what was kept is what comes back. Attributes that
would be lost are refused on the way in; on the way out missing fields get their defaults, and unknown ones are refused.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spellkeep.errors import NotSerializable, SchemaMismatch

Encode = Callable[[Any], Any]
Decode = Callable[[Any, int], Any]

# Their content lies outside of any field, so restoring the fields alone would lose it.
_WITH_CONTENT = (BaseException, dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex)


def codec_of(cls: type, tag: str, version: int) -> tuple[Encode, Decode] | None:
    """Return encode and decode for a class of a known kind, or None.

    Raises: TypeError for a class that would lose content.
    """
    if issubclass(cls, enum.Enum):
        return _enum(cls, tag, version)
    if issubclass(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_make"):
        return _namedtuple(cls, tag, version)
    if hasattr(cls, "__pydantic_fields__") and hasattr(cls, "__pydantic_private__"):
        return _pydantic(cls, tag, version)
    if hasattr(cls, "__struct_fields__"):
        return _struct(cls, tag, version)
    if dataclasses.is_dataclass(cls):
        return _plain_fields(cls, tag, version, _dataclass_defaults(cls), ())
    if hasattr(cls, "__attrs_attrs__"):
        return _attrs(cls, tag, version)
    return None


class Required:
    """In place of a default: the field must be in the payload, or, if ``optional``, stays unset without it."""

    def __init__(self, *, optional: bool = False) -> None:
        self.optional = optional


# What makes the default of a field, given the object so far.
Default = Callable[[Any], Any] | Required


class _Shape:
    """The names of a class's fields, and the two complaints about payloads that do not fit them."""

    def __init__(self, cls: type, tag: str, version: int, names: Iterable[str]) -> None:
        self.cls = cls
        self.tag = tag
        self.version = version
        self.names = tuple(names)
        self.known = frozenset(self.names)
        cached = (name for base in cls.__mro__ for name, value in vars(base).items() if _is_cached(value))
        self.allowed = self.known | frozenset(cached) | {"_attrs_cached_hash"}
        self.other_slots = tuple(
            name for base in cls.__mro__ for name in _slots(base) if name not in self.allowed and name[:2] != "__"
        )

    def check_object(self, obj: Any) -> None:
        """Refuse an object that holds more than its fields."""
        attributes = getattr(obj, "__dict__", {})
        if attributes.keys() <= self.allowed and not self.other_slots:
            return
        extra = set(attributes) - self.allowed
        extra.update(name for name in self.other_slots if hasattr(obj, name))
        if extra:
            raise NotSerializable(
                f"cannot keep the attribute {min(extra)!r} of a {self.cls.__qualname__}, which is not one of its "
                "fields: register the class with encode= and decode=",
                code="value.extra_attribute",
            )

    def check_payload(self, payload: Any, version: int) -> dict[str, Any]:
        """Return the stored fields. Raises: SchemaMismatch."""
        if version > self.version:
            raise self.mismatch(
                "newer_version", f"was kept by version {version}, and this process has version {self.version}"
            )
        if type(payload) is not dict:
            raise self.mismatch("payload", f"has a {type(payload).__name__} for its fields")
        if not payload.keys() <= self.known:
            unknown = min(map(str, payload.keys() - self.known))
            raise self.mismatch("unknown_field", f"has the field {unknown!r}, which the class lacks")
        return payload

    def missing(self, name: str) -> SchemaMismatch:
        return self.mismatch("missing_field", f"lacks the field {name!r}, which has no default")

    def mismatch(self, slug: str, what: str) -> SchemaMismatch:
        return SchemaMismatch(
            f"the stored {self.tag!r} {what}: register {self.cls.__qualname__} with a decode(payload, version) "
            "that handles it",
            code=f"value.{slug}",
        )


def _is_cached(value: object) -> bool:
    return isinstance(value, functools.cached_property)


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _read(obj: Any, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        return {name: getattr(obj, name) for name in names}
    except AttributeError:
        # A field that was never set stays unset.
        return {name: getattr(obj, name) for name in names if hasattr(obj, name)}


def _plain_fields(
    cls: type, tag: str, version: int, defaults: Mapping[str, Default], reset: tuple[str, ...]
) -> tuple[Encode, Decode]:
    """Classes whose objects are nothing but named attributes: restored without ``__init__``."""
    if issubclass(cls, _WITH_CONTENT):
        raise TypeError(f"{cls.__qualname__} has content besides its fields: register it with encode= and decode=")
    shape = _Shape(cls, tag, version, defaults)
    new, put = cls.__new__, object.__setattr__

    def encode(obj: Any) -> dict[str, Any]:
        shape.check_object(obj)
        return _read(obj, shape.names)

    def decode(payload: Any, stored_version: int) -> Any:
        fields = shape.check_payload(payload, stored_version)
        obj = new(cls)
        for name, default in defaults.items():
            if name in fields:
                put(obj, name, fields[name])
            elif not isinstance(default, Required):
                put(obj, name, default(obj))
            elif not default.optional:
                raise shape.missing(name)
        for name in reset:
            put(obj, name, None)
        return obj

    return encode, decode


def _constant(value: Any) -> Default:
    return lambda _: value


def _made_by(make: Callable[[], Any]) -> Default:
    return lambda _: make()


def _dataclass_defaults(cls: type) -> dict[str, Default]:
    defaults: dict[str, Default] = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = _constant(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = _made_by(field.default_factory)
        else:
            defaults[field.name] = Required(optional=not field.init)
    return defaults


def _attrs(cls: Any, tag: str, version: int) -> tuple[Encode, Decode]:
    import attrs

    defaults: dict[str, Default] = {}
    for field in attrs.fields(cls):
        default = field.default
        if default is attrs.NOTHING:
            defaults[field.name] = Required(optional=not field.init)
        elif isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            if default.takes_self:
                defaults[field.name] = default.factory
            else:
                defaults[field.name] = _made_by(default.factory)
        else:
            defaults[field.name] = _constant(default)
    # A class that caches its hash expects a place for it, which its `__init__` would have made.
    caches_hash = "_attrs_cached_hash" in cls.__hash__.__code__.co_names if hasattr(cls.__hash__, "__code__") else False
    return _plain_fields(cls, tag, version, defaults, ("_attrs_cached_hash",) if caches_hash else ())


def _struct(cls: Any, tag: str, version: int) -> tuple[Encode, Decode]:
    """msgspec.Struct: has no way around its constructor, so ``__post_init__`` runs when an object comes back."""
    import msgspec

    fields = msgspec.structs.fields(cls)
    required = frozenset(field.name for field in fields if field.required)
    shape = _Shape(cls, tag, version, (field.name for field in fields))

    def encode(obj: Any) -> dict[str, Any]:
        shape.check_object(obj)
        # UNSET says "no value", and the default brings it back.
        return {name: value for name, value in _read(obj, shape.names).items() if value is not msgspec.UNSET}

    def decode(payload: Any, stored_version: int) -> Any:
        values = shape.check_payload(payload, stored_version)
        for name in required - values.keys():
            raise shape.missing(name)
        return cls(**values)

    return encode, decode


def _pydantic(cls: Any, tag: str, version: int) -> tuple[Encode, Decode]:
    """pydantic v2 models: fields, which of them were set, and extras. Private attributes get their defaults back."""
    from pydantic_core import PydanticUndefined

    model_fields: dict[str, Any] = cls.__pydantic_fields__
    shape = _Shape(cls, tag, version, model_fields)
    put = object.__setattr__

    def encode(obj: Any) -> dict[str, Any]:
        values = obj.__dict__
        if not values.keys() <= shape.allowed:
            shape.check_object(obj)
        fields = {name: values[name] for name in shape.names if name in values}
        return {"fields": fields, "set": sorted(obj.__pydantic_fields_set__), "extra": obj.__pydantic_extra__}

    def decode(payload: Any, stored_version: int) -> Any:
        if type(payload) is not dict or payload.keys() != {"fields", "set", "extra"}:
            raise shape.mismatch("payload", "was not kept as a pydantic model")
        values = dict(shape.check_payload(payload["fields"], stored_version))
        for name, field in model_fields.items():
            if name not in values:
                if field.is_required():
                    raise shape.missing(name)
                takes_data = getattr(field, "default_factory_takes_validated_data", False)
                data = {"validated_data": values} if takes_data else {}
                values[name] = field.get_default(call_default_factory=True, **data)
        obj = cls.__new__(cls)
        put(obj, "__dict__", {name: values[name] for name in shape.names})
        put(obj, "__pydantic_fields_set__", set(payload["set"]))
        put(obj, "__pydantic_extra__", payload["extra"])
        private = {name: attribute.get_default() for name, attribute in cls.__private_attributes__.items()}
        known = {name: value for name, value in private.items() if value is not PydanticUndefined}
        put(obj, "__pydantic_private__", known if private else None)
        return obj

    return encode, decode


def _namedtuple(cls: Any, tag: str, version: int) -> tuple[Encode, Decode]:
    shape = _Shape(cls, tag, version, cls._fields)
    defaults: dict[str, Any] = cls._field_defaults

    def encode(obj: Any) -> dict[str, Any]:
        shape.check_object(obj)
        return dict(zip(shape.names, obj, strict=True))

    def decode(payload: Any, stored_version: int) -> Any:
        fields = shape.check_payload(payload, stored_version)
        for name in shape.names:
            if name not in fields and name not in defaults:
                raise shape.missing(name)
        return cls._make(fields[name] if name in fields else defaults[name] for name in shape.names)

    return encode, decode


def _enum(cls: Any, tag: str, version: int) -> tuple[Encode, Decode]:
    """Members are kept by name, so values may change; flags by value, because combinations have no name."""
    shape = _Shape(cls, tag, version, ())
    is_flag = issubclass(cls, enum.Flag)

    def encode(obj: Any) -> Any:
        return obj._value_ if is_flag else obj._name_

    def decode(payload: Any, stored_version: int) -> Any:
        try:
            if is_flag and type(payload) is int:
                return cls(payload)
            if not is_flag and type(payload) is str:
                return cls.__members__[payload]
        except (KeyError, ValueError):
            pass
        raise shape.mismatch("unknown_member", f"is the member {payload!r}, which the enum lacks")

    return encode, decode
