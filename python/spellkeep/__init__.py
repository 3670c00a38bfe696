"""Spellkeep: persistent state for AI agents.

    import spellkeep as sk
    from spellkeep import StateScope

    with sk.open("./state") as state:
        scout = state.scope(StateScope.agent("scout"))
        scout["plan"] = {"step": 1}

What a write was told is kept is there after a kill. Errors are in ``spellkeep.errors``.
"""

from spellkeep import errors
from spellkeep.batch import Batch
from spellkeep.changes import Change, Entry, StateClass
from spellkeep.correlation import Correlation, correlate, current_correlation
from spellkeep.damage import Damage, SalvageReport, VerifyReport, salvage, verify
from spellkeep.events import Events
from spellkeep.figures import Recovery, Stats
from spellkeep.handle import ScopeHandle
from spellkeep.read_view import ReadView, ScopeView
from spellkeep.scope import StateScope
from spellkeep.sessions import Session, SessionInfo
from spellkeep.store import StateManager, open
from spellkeep.value import DictView, Limits, SequenceView, Tagged, register

__all__ = [
    "Batch",
    "Change",
    "Correlation",
    "Damage",
    "DictView",
    "Entry",
    "Events",
    "Limits",
    "ReadView",
    "Recovery",
    "SalvageReport",
    "ScopeHandle",
    "ScopeView",
    "SequenceView",
    "Session",
    "SessionInfo",
    "StateClass",
    "StateManager",
    "StateScope",
    "Stats",
    "Tagged",
    "VerifyReport",
    "correlate",
    "current_correlation",
    "errors",
    "open",
    "register",
    "salvage",
    "verify",
]


def __getattr__(name: str) -> str:
    # Only when asked for: reading it takes longer than all other imports of the package together.
    if name == "__version__":
        from importlib.metadata import version

        return version("spellkeep")
    raise AttributeError(f"module 'spellkeep' has no attribute {name!r}")
