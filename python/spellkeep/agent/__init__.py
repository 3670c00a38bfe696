"""Agents: conversation, context, tools and the rest of their state, where every change is one small save.

    scout = state.agent("scout")
    scout.messages.add("user", "Where is the train?")
    scout.context["city"] = "Lyon"

What a save costs depends on what changed, not on what there is. docs/guide/agents.md has the layout of the entries.
"""

from spellkeep.agent.agent import Agent, AgentView, Status
from spellkeep.agent.difference import Changed, Difference
from spellkeep.agent.messages import Message, Messages, MessagesView
from spellkeep.agent.parts import Part, PartView
from spellkeep.agent.past import Version
from spellkeep.agent.retention import Retention
from spellkeep.agent.step import Step
from spellkeep.agent.tools import Tools, ToolsView, ToolUsage

__all__ = [
    "Agent",
    "AgentView",
    "Changed",
    "Difference",
    "Message",
    "Messages",
    "MessagesView",
    "Part",
    "PartView",
    "Retention",
    "Status",
    "Step",
    "ToolUsage",
    "Tools",
    "ToolsView",
    "Version",
]
