"""Parts of an agent that go by names: context variables, custom data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from spellkeep.agent.layout import GONE, MISSING, named
from spellkeep.agent.saving import Change
from spellkeep.agent.showing import safely
from spellkeep.agent.whole import part_of
from spellkeep.errors import InvalidKey, KeyMissing

if TYPE_CHECKING:
    from spellkeep.agent.agent import AgentView


V = TypeVar("V", covariant=True)


class NamedView(Mapping[str, V]):
    """What goes by names, to read, in the order of the names."""

    def __init__(self, agent: AgentView, prefix: str) -> None:
        self._agent = agent
        self._prefix = prefix

    def _of(self, stored: Any) -> V:
        """What is shown of what is stored."""
        raise NotImplementedError

    def _find(self, name: str) -> Any:
        source, _ = self._agent._moment()
        return source.value(named(self._prefix, name), MISSING)

    def __getitem__(self, name: str) -> V:
        found = self._find(name)
        if found is MISSING:
            raise self._missing(name)
        return self._of(found)

    def _missing(self, name: str) -> KeyMissing:
        return KeyMissing(f"{self._agent.id!r} has no {self._prefix[:-1]} {name!r}", code="key.missing")

    # The inherited two take a version that is no longer kept for a name that is not there.

    def get(self, name: str, default: Any = None) -> Any:
        """What is under a name, or `default`."""
        found = self._find(name)
        return default if found is MISSING else self._of(found)

    def __contains__(self, name: object) -> bool:
        # What cannot be a name is not there, as in a dict.
        try:
            return isinstance(name, str) and self._find(name) is not MISSING
        except InvalidKey:
            return False

    def __iter__(self) -> Iterator[str]:
        source, _ = self._agent._moment()
        return iter(source.names(self._prefix))

    def __len__(self) -> int:
        source, _ = self._agent._moment()
        return len(source.names(self._prefix))

    @safely
    def __repr__(self) -> str:
        return f"<{self._prefix[:-1]} of {self._agent.id!r}: {', '.join(self) or 'nothing'}>"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)


class PartView(NamedView[Any]):
    """Named values to read, in the order of their names."""

    def _of(self, stored: Any) -> Any:
        return stored

    def to_dict(self) -> dict[str, Any]:
        """All of them."""
        source, _ = self._agent._moment()
        return part_of(source, self._prefix)


class Part(PartView, MutableMapping[str, Any]):
    """Named values to read and change. Every change is one save; what was there stays in the history of the agent."""

    _agent: Any

    def set(self, name: str, value: Any) -> int:
        """Save a value; return the version.

        Raises: InvalidKey; NotSerializable, LimitExceeded (value.*); StorageFailed, Poisoned; ReadOnly; Closed, Forked.
        Cost: one record; of a name that has a value, one more that keeps it.
        """
        version: int = self._agent._put(named(self._prefix, name), value)
        return version

    async def aset(self, name: str, value: Any) -> int:
        """As ``set``, without blocking the event loop."""
        change = Change()
        change.put[named(self._prefix, name)] = value
        version: int = await self._agent._asave(change)
        return version

    def __setitem__(self, name: str, value: Any) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        def removed() -> Change:
            self[name]
            change = Change()
            change.put[named(self._prefix, name)] = GONE
            return change

        self._agent._save_seen(removed)

    # Those that are inherited let others in between their look and their write.

    def pop(self, name: str, default: Any = MISSING) -> Any:
        """Remove a value and return it; without it `default`, or KeyMissing.

        Of several who ask at once one has it; a step asks when it is made and writes when it ends.
        """
        found: Any = MISSING

        def popped() -> Change:
            nonlocal found
            found, change = self._find(name), Change()
            if found is not MISSING:
                change.put[named(self._prefix, name)] = GONE
            elif default is MISSING:
                raise self._missing(name)
            return change

        self._agent._save_seen(popped)
        return default if found is MISSING else self._of(found)

    def popitem(self) -> tuple[str, Any]:
        """Remove the value of the first name and return both. Raises: KeyMissing when there is none."""
        taken: list[tuple[str, Any]] = []

        def popped() -> Change:
            name, change = next(iter(self), None), Change()
            if name is None:
                raise KeyMissing(f"{self._agent.id!r} has no {self._prefix[:-1]}", code="key.missing")
            taken[:] = [(name, self[name])]
            change.put[named(self._prefix, name)] = GONE
            return change

        self._agent._save_seen(popped)
        return taken[0]

    def setdefault(self, name: str, default: Any = None) -> Any:
        """The value, which is `default` where there was none: of several who give one at once the first one's."""
        found: Any = MISSING

        def given() -> Change:
            nonlocal found
            found, change = self._find(name), Change()
            if found is MISSING:
                change.put[named(self._prefix, name)] = default
            return change

        self._agent._save_seen(given)
        return default if found is MISSING else self._of(found)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Save several values as one."""
        change = Change()
        change.put.update((named(self._prefix, name), value) for name, value in dict(other, **more).items())
        self._agent._save(change)

    def clear(self) -> None:
        """Remove all, as one save."""

        def cleared() -> Change:
            change = Change()
            change.put.update((self._prefix + name, GONE) for name in self)
            return change

        self._agent._save_seen(cleared)
