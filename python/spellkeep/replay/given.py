"""What a replayed hook is given: as it was recorded, or with parts of it changed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from spellkeep.changes import StateClass
from spellkeep.errors import InvalidKey, LimitExceeded
from spellkeep.replay.inputs import Input
from spellkeep.replay.sandbox import Sandbox
from spellkeep.scope import StateScope
from spellkeep.value import decode, encode

Path: TypeAlias = str | tuple[str | int, ...]
"""A place in what a hook is given: ``"value.plan.0.step"``, or a tuple where a name has a dot."""

Parameters: TypeAlias = Mapping[Any, Any]
"""Other parts of what a hook is given, by their `Path`. (Any: a mapping of text alone is one, too.)"""

_CHANGEABLE = ("value", "old_value", "scope", "key", "correlation", "actor", "tags")


class ReplayContext:
    """What a before-hook is told, as a `HookContext` tells it; ``state`` is a sandbox."""

    def __init__(self, input: Input, sandbox: Sandbox, parameters: Parameters) -> None:
        self._input = input
        self._set: dict[str, Any] = {}
        self._recorded = iter(input.recorded)
        self.state = sandbox
        self.metadata: dict[Any, Any] = {}
        self.operation = input.operation
        # Not recorded.
        self.if_version: int | None = None
        self.operations: tuple[ReplayContext, ...] | None = None
        if input.operations is not None:
            self.operations = tuple(ReplayContext(each, sandbox, {}) for each in input.operations)
        self._set = changed(self, parameters)

    def _or(self, name: str, recorded: Any) -> Any:
        return copy.deepcopy(self._set[name]) if name in self._set else recorded

    @property
    def scope(self) -> StateScope | None:
        """Where; None of a batch."""
        scope: StateScope | None = self._or("scope", self._input.scope)
        return scope

    @property
    def key(self) -> str | None:
        """Which key; None of a clear and of a batch."""
        key: str | None = self._or("key", None if self.operation in ("clear", "batch") else self._input.key)
        return key

    @property
    def value(self) -> Any:
        """The value to be stored, made anew at each access; None of everything but a set."""
        if "value" in self._set:
            return copy.deepcopy(self._set["value"])
        return None if self._input.encoded is None else decode(self._input.encoded)

    @property
    def _encoded(self) -> bytes:
        return encode(self._set["value"]) if "value" in self._set else self._input.encoded or b""

    @property
    def value_bytes(self) -> int:
        """Encoded bytes of the value."""
        return len(self._encoded)

    @property
    def old_value(self) -> Any:
        """The value that was there then, made anew at each access; None: nothing was."""
        if "old_value" in self._set or self.scope is None or self.key is None:
            return self._or("old_value", None)
        return self.state.get(self.scope, self.key)

    @property
    def version(self) -> int:
        """The version of what was there then; 0: nothing was."""
        return 0 if self.scope is None or self.key is None else self.state.version(self.scope, self.key)

    def recorded(self, function: Callable[[], Any]) -> Any:
        """What it recorded then, one after the other. `function` is not called."""
        for value in self._recorded:
            return copy.deepcopy(value)
        raise LimitExceeded("the execution did not record what the hook asks for", code="replay.trimmed")

    @property
    def digest(self) -> int:
        """XXH3-64 of what the hook was given when it was recorded."""
        return self._input.digest

    @property
    def correlation(self) -> str | None:
        """The correlation id of what was going on, or None."""
        correlation: str | None = self._or("correlation", self._input.correlation)
        return correlation

    @property
    def actor(self) -> str | None:
        """Who asked for it, or None."""
        actor: str | None = self._or("actor", self._input.actor)
        return actor

    @property
    def state_class(self) -> StateClass | None:
        """Class of the value of a set; else None."""
        return StateClass(self._class_number) if self._class_number else None

    @property
    def _class_number(self) -> int:
        return self._input.class_number


class ReplayChange:
    """A `Change` of which some parts are others."""

    def __init__(self, change: Any, parameters: Parameters) -> None:
        self._change = change
        self._set: dict[str, Any] = {}
        self._set = changed(self, parameters)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_change", "_set"):
            raise AttributeError(name)
        return copy.deepcopy(self._set[name]) if name in self._set else getattr(self._change, name)


def changed(given: Any, parameters: Parameters) -> dict[str, Any]:
    """Attributes of `given` with other parts: by name, whole.

    Raises: InvalidKey (replay.path) where there is nothing to change.
    """
    made: dict[str, Any] = {}
    for path, value in parameters.items():
        if not isinstance(path, str | tuple) or not path:
            raise InvalidKey(f"{path!r} is no path: value.plan.0, or a tuple of its parts", code="replay.path")
        root, *steps = path.split(".") if isinstance(path, str) else path
        if root not in _CHANGEABLE or not hasattr(given, str(root)):
            raise InvalidKey(f"{path!r} begins with none of {', '.join(_CHANGEABLE)}", code="replay.path")
        name = str(root)
        if not steps:
            made[name] = StateScope.parse(value) if name == "scope" and isinstance(value, str) else value
            continue
        inside = made.setdefault(name, getattr(given, name))
        for step in steps[:-1]:
            inside = _at(inside, step, path)
        last = steps[-1]
        if isinstance(inside, dict):
            inside[_name(inside, last)] = value
        elif isinstance(inside, list):
            _at(inside, last, path)
            inside[int(last)] = value
        else:
            raise _nothing(path)
    return made


def _name(inside: dict[Any, Any], step: str | int) -> Any:
    if step not in inside and isinstance(step, str) and step.isdecimal() and int(step) in inside:
        return int(step)
    return step


def _at(inside: Any, step: str | int, path: Path) -> Any:
    try:
        if isinstance(inside, dict):
            return inside[_name(inside, step)]
        if isinstance(inside, Sequence) and not isinstance(inside, str | bytes):
            return inside[int(step)]
    except (KeyError, ValueError, IndexError):
        pass
    raise _nothing(path)


def _nothing(path: Path) -> InvalidKey:
    return InvalidKey(f"there is nothing at {path!r}", code="replay.path")
