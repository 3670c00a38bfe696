"""Spellkeep behind the interfaces of agent frameworks: one module per framework, each with an extra of its name."""
