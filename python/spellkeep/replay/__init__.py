"""Replay: what hooks did, done again where it touches nothing. ``state.replay`` is a `ReplayManager`.

    found = state.replay.select(hook="check", correlation="req-42")
    report = state.replay.verify(found, hook="my_hooks:check", isolate=True)
    print(report)

docs/guide/replay.md is the guide.
"""

from spellkeep.replay.comparing import Comparison, Difference, compare
from spellkeep.replay.given import Path, ReplayContext
from spellkeep.replay.job import ReplayJob
from spellkeep.replay.manager import ReplayManager
from spellkeep.replay.report import ReplayItem, ReplayReport
from spellkeep.replay.running import Answer
from spellkeep.replay.sandbox import Sandbox
from spellkeep.replay.schedule import Schedule, ScheduledRun
from spellkeep.replay.selecting import Selection
from spellkeep.replay.when import When
from spellkeep.replay.worker import find

__all__ = [
    "Answer",
    "Comparison",
    "Difference",
    "Path",
    "ReplayContext",
    "ReplayItem",
    "ReplayJob",
    "ReplayManager",
    "ReplayReport",
    "Sandbox",
    "Schedule",
    "ScheduledRun",
    "Selection",
    "When",
    "compare",
    "find",
]
