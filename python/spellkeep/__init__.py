"""Spellkeep: persistent state for AI agents.

import spellkeep as sk
from spellkeep import StateScope

with sk.open("./state") as state:
    scout = state.scope(StateScope.agent("scout"))
    scout["plan"] = {"step": 1}
"""

from importlib.metadata import version as _version

from spellkeep import errors
from spellkeep.changes import Change, Entry, StateClass
from spellkeep.handle import ScopeHandle
from spellkeep.scope import StateScope
from spellkeep.store import Batch, Recovery, StateManager, Stats, open
from spellkeep.value import Limits, Tagged, register

__version__ = _version("spellkeep")

__all__ = [
    "Batch",
    "Change",
    "Entry",
    "Limits",
    "Recovery",
    "ScopeHandle",
    "StateClass",
    "StateManager",
    "StateScope",
    "Stats",
    "Tagged",
    "errors",
    "open",
    "register",
]
