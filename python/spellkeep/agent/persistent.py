"""Agents of any class: what an object must have to be saved, and a mixin that brings it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from spellkeep.store import StateManager

_MISSING = object()


@runtime_checkable
class PersistentAgent(Protocol):
    """An object whose whole state can be taken and given back: anything with these three."""

    @property
    def agent_id(self) -> str:
        """Under which id it is saved: a scope id."""

    def get_state(self) -> Mapping[str, Any]:
        """The whole state as a dict of names to values that can be kept. What is in it is not changed by the caller."""

    def set_state(self, state: dict[str, Any], /) -> None:
        """Become what ``get_state`` gave once."""


class PersistentAgentMixin:
    """Saves and loads objects of a class of your own, which has or sets ``agent_id``.

    The state is every attribute of the instance whose name does not begin with an underscore, from ``__dict__`` and
    ``__slots__``, without ``agent_id``. Class attributes, properties and attributes with an underscore are not part of
    it: name clients, locks and caches with one. A value that cannot be kept is refused (NotSerializable) when it is
    saved, never left out. Override both methods for anything else.
    """

    agent_id: str

    def get_state(self) -> dict[str, Any]:
        """The public attributes, by name. The values are the agent's own, not copies."""
        return {name: getattr(self, name) for name in _attributes(self)}

    def set_state(self, state: dict[str, Any], /) -> None:
        """Set these attributes; those that `state` does not have stay as they are.

        Raises: ValueError for names that ``get_state`` never gives, before anything is set.
        """
        if wrong := [name for name in state if name.startswith("_") or name == "agent_id"]:
            raise ValueError(f"not attributes that get_state() gives: {', '.join(map(repr, wrong))}")
        for name, value in state.items():
            setattr(self, name, value)

    def save(self, state: StateManager) -> int:
        """Save what differs from what is saved; return the version, 0 when nothing does.

        Raises: as ``Agent.save``.
        """
        return state.save_agent_state(self.agent_id, self.get_state())

    def load(self, state: StateManager) -> bool:
        """Become what is saved; whether anything is. Without it nothing changes."""
        stored = state.load_agent_state(self.agent_id)
        if stored is None:
            return False
        self.set_state(stored)
        return True

    async def asave(self, state: StateManager) -> int:
        """As ``save``, without blocking the event loop."""
        return await state.asave_agent_state(self.agent_id, self.get_state())

    async def aload(self, state: StateManager) -> bool:
        """As ``load``."""
        return self.load(state)


def _attributes(agent: object) -> Iterator[str]:
    names = dict.fromkeys(getattr(agent, "__dict__", {}))
    for cls in type(agent).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names |= dict.fromkeys([slots] if isinstance(slots, str) else slots)
    for name in names:
        if not name.startswith("_") and name != "agent_id" and getattr(agent, name, _MISSING) is not _MISSING:
            yield name
