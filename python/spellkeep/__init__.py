"""Spellkeep: persistent state for AI agents."""

from spellkeep.scope import StateScope

__all__ = ["StateScope"]
