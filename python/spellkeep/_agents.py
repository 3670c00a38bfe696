"""The calls of a store about agents."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spellkeep._async import in_thread
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.agent import Agent

_making = threading.Lock()


def _begin_anew() -> None:
    """In a forked child the lock may be held by a thread that is not there."""
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_begin_anew)

_RECENT = 32


class _Agents:
    """The agents of one store that are in use: one of each id, as two writers would give messages the same number."""

    def __init__(self) -> None:
        self.by_id: weakref.WeakValueDictionary[str, Agent] = weakref.WeakValueDictionary()
        # The last ones that were made: whole states are saved by id, again and again, and need not be learned anew.
        self.recent: deque[Agent] = deque(maxlen=_RECENT)


class AgentCalls:
    """What `StateManager` has for agents. The room itself is imported with the first agent."""

    _agents: _Agents

    def agent(self, agent_id: str) -> Agent:
        """An agent of this store, new or not; one object for one id while it is in use. See ``spellkeep.agent``.

        Nothing is written before its first change. Cost: O(1), whatever its size.
        """
        agents: _Agents | None = self.__dict__.get("_agents")
        found = agents.by_id.get(agent_id) if agents is not None and type(agent_id) is str else None
        return self._agent_made(agent_id) if found is None else found

    def _agent_made(self, agent_id: str) -> Agent:
        from spellkeep.agent import Agent
        from spellkeep.agent.saving import Saver

        scope = StateScope.agent(agent_id)
        with _making:
            agents = self.__dict__.setdefault("_agents", _Agents())
            # The scope's own text: the caller's may be of another class.
            found: Agent | None = agents.by_id.get(scope.ids[0])
            if found is None:
                agents.by_id[scope.ids[0]] = found = Agent(scope.ids[0], Saver(self.scope(scope)))  # type: ignore[attr-defined]
                agents.recent.append(found)
        return found

    def save_agent_state(self, agent_id: str, state: Mapping[str, Any]) -> int:
        """Make the whole state of an agent this one, writing only what differs. See ``Agent.save``.

        Returns: the version; 0 when nothing differs.
        """
        return self.agent(agent_id).save(state)

    def load_agent_state(self, agent_id: str) -> dict[str, Any] | None:
        """The whole state of an agent, as of one moment; None when there is none. Raises: HookVeto, as hooks say."""
        from spellkeep.agent.asking import loading

        agent = self.agent(agent_id)
        with loading(agent.store, agent.scope) as done:
            loaded = agent.to_dict() if agent.exists else None
            done(loaded is not None)
        return loaded

    def list_saved_agents(self) -> list[str]:
        """The ids of all agents that were saved. Cost: O(scopes)."""
        from spellkeep.agent.layout import AGENT, is_agent

        scopes: list[StateScope] = self.list_scopes()  # type: ignore[attr-defined]
        agents = [scope for scope in scopes if scope.kind == "agent" and is_agent(self.get(scope, AGENT))]  # type: ignore[attr-defined]
        return sorted(scope.ids[0] for scope in agents)

    def delete_agent_state(self, agent_id: str) -> bool:
        """Remove an agent with its past; whether there was one. See ``Agent.delete``."""
        return self.agent(agent_id).delete()

    # async twins

    async def aagent(self, agent_id: str) -> Agent:
        """As ``agent``."""
        return self.agent(agent_id)

    async def asave_agent_state(self, agent_id: str, state: Mapping[str, Any]) -> int:
        """As ``save_agent_state``, without blocking the event loop."""
        return await self.agent(agent_id).asave(state)

    async def aload_agent_state(self, agent_id: str) -> dict[str, Any] | None:
        """As ``load_agent_state``."""
        return self.load_agent_state(agent_id)

    async def alist_saved_agents(self) -> list[str]:
        """As ``list_saved_agents``."""
        return self.list_saved_agents()

    async def adelete_agent_state(self, agent_id: str) -> bool:
        """As ``delete_agent_state``, in another thread: it may wait for a sync."""
        return await in_thread(self.delete_agent_state, agent_id)
