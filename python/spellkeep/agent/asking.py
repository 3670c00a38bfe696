"""Hooks around whole saves and loads of agents."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spellkeep._hooks import ask, asks, tells
from spellkeep.correlation import current_correlation
from spellkeep.errors import StateError
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.agent.agent import Agent
    from spellkeep.store import StateManager


def _nobody(version: int) -> int:
    return version


@contextmanager
def saving(agent: Agent, state: Any) -> Iterator[tuple[Any, Callable[[int], int]]]:
    """Ask before a whole save: the state as the hooks leave it, and whom to tell of the version. No lock is held.

    Raises: HookVeto.
    """
    # What is no mapping is refused by the save itself.
    if not asks(agent.store, "agent_save") or not isinstance(state, Mapping):
        yield state, _nobody
        return
    asked = ask(agent.store, "agent_save", agent.scope, dict(state))
    if asked is None:
        yield state, _nobody
        return

    def done(version: int) -> int:
        asked.done(version)
        return version

    # What the hooks saw is what is saved, whatever others do to the object.
    yield asked.value, done


@contextmanager
def loading(state: StateManager, scope: StateScope, version: int = 0) -> Iterator[Callable[[bool], None]]:
    """Ask before a load of `version` (0: the last), and tell of it once it is done and gave something.

    Raises: HookVeto.
    """
    asked = ask(state, "agent_load", scope, None, version)

    def done(found: bool) -> None:
        told = _tell(state, scope, version) if found and tells(state, "agent_load") else 0
        if asked is not None:
            asked.done(told)

    yield done


def _tell(state: StateManager, scope: StateScope, version: int) -> int:
    """An event in the log, for those who are registered: a load leaves nothing else that they could be given."""
    current = current_correlation()
    # What is replayed writes nothing.
    if state.read_only or (current is not None and current.read_only):
        return 0
    try:
        return state.events._emit(scope, "agent.load", {"version": version or None}, None, False)
    except StateError as failure:
        # The disk is full, or worse: that is no reason to keep from the caller what was read.
        failure.add_note(f"and hooks after agent_load are not told of a load of {scope}")
        sys.excepthook(type(failure), failure, failure.__traceback__)
        return 0
