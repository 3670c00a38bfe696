"""Agents: conversation, context, tools and the rest of their state, where every change is one small save.

    scout = state.agent("scout")
    scout.messages.add("user", "Where is the train?")
    scout.context["city"] = "Lyon"

What a save costs depends on what changed, not on what there is. docs/guide/agents.md has the layout of the entries.
"""

from typing import TYPE_CHECKING, Any

from spellkeep.agent.agent import Agent, AgentView, Status
from spellkeep.agent.difference import Changed, Difference
from spellkeep.agent.messages import Message, Messages, MessagesView
from spellkeep.agent.parts import Part, PartView
from spellkeep.agent.past import Version
from spellkeep.agent.persistent import PersistentAgent, PersistentAgentMixin
from spellkeep.agent.retention import Retention
from spellkeep.agent.step import Step
from spellkeep.agent.tools import Tools, ToolsView, ToolUsage

if TYPE_CHECKING:
    from spellkeep.agent.autosave import AutoSave
    from spellkeep.agent.options import AutoSaveMetrics, AutoSaveOptions
    from spellkeep.breaker import BreakerOptions

__all__ = [
    "Agent",
    "AgentView",
    "AutoSave",
    "AutoSaveMetrics",
    "AutoSaveOptions",
    "BreakerOptions",
    "Changed",
    "Difference",
    "Message",
    "Messages",
    "MessagesView",
    "Part",
    "PartView",
    "PersistentAgent",
    "PersistentAgentMixin",
    "Retention",
    "Status",
    "Step",
    "ToolUsage",
    "Tools",
    "ToolsView",
    "Version",
]

_LAZY = {
    "AutoSave": "agent.autosave",
    "AutoSaveMetrics": "agent.options",
    "AutoSaveOptions": "agent.options",
    "BreakerOptions": "breaker",
}


def __getattr__(name: str) -> Any:
    # With threads, futures and asyncio; an agent that saves itself needs none of them.
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"spellkeep.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'spellkeep.agent' has no attribute {name!r}")
