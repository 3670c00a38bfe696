"""Hooks: functions of your own before and after changes. ``state.hooks`` is a `HookRegistry`.

    @state.hooks.before("set", scope="agent:*", key="plan/*")
    def check(context):
        if "step" not in context.value:
            return HookResult.cancel("a plan has a step")

docs/guide/hooks.md is the guide.
"""

from spellkeep._core import HookContext
from spellkeep.hooks.base import Observer, Validator
from spellkeep.hooks.reading import Execution
from spellkeep.hooks.registered import HookInfo, HookStats
from spellkeep.hooks.registry import HookRegistry
from spellkeep.hooks.result import HookPoint, HookResult
from spellkeep.hooks.retention import HistoryRetention

__all__ = [
    "Execution",
    "HistoryRetention",
    "HookContext",
    "HookInfo",
    "HookPoint",
    "HookRegistry",
    "HookResult",
    "HookStats",
    "Observer",
    "Validator",
]
