"""Spellkeep: persistent state for AI agents."""
