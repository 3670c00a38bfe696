"""Spellkeep side by side with what else keeps values: ``make bench``."""
