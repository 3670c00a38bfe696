"""Spellkeep: persistent state for AI agents."""

from spellkeep.scope import StateScope
from spellkeep.value import Limits, Tagged, register

__all__ = ["Limits", "StateScope", "Tagged", "register"]
