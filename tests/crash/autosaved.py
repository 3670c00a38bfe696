"""Scripts with an agent that is saved by itself, and what they leave."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path
from typing import Any

import spellkeep
from crash.child import run

BEGIN = """
import asyncio, contextlib, signal, threading, time
from autosave_parts import Scout
from spellkeep.agent import AutoSave, BreakerOptions
state = spellkeep.open(store, ring_bytes=65536, segment_bytes=65536)
agent = Scout()
never = {"interval_s": None, "message_count": None}
"""


def lived(script: str, *arguments: object, begin: str = BEGIN) -> subprocess.CompletedProcess[str]:
    """Run a script that finds `state` and `agent`."""
    return run(begin + textwrap.dedent(script), *arguments)


def kept(store: Path) -> list[str]:
    """What the messages say that are saved."""
    with spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=64 << 10) as state:
        loaded: Any = state.load_agent_state("scout") or {"messages": []}
        return [message["content"] for message in loaded["messages"]]
