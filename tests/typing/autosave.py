"""What type checkers make of agent objects. Checked, never run."""

from __future__ import annotations

from typing import Any, assert_type

from spellkeep import StateManager
from spellkeep.agent import (
    AutoSave,
    AutoSaveMetrics,
    AutoSaveOptions,
    BreakerOptions,
    PersistentAgent,
    PersistentAgentMixin,
)


class Mine(PersistentAgentMixin):
    """By the mixin."""

    def __init__(self) -> None:
        self.agent_id = "mine"


class Frozen:
    """By the protocol alone, with an id that cannot be set."""

    @property
    def agent_id(self) -> str:
        return "frozen"

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any], /) -> None: ...


def takes(agent: PersistentAgent) -> None:
    assert_type(agent.agent_id, str)


takes(Mine())
takes(Frozen())
takes(object())  # type: ignore[arg-type]


async def uses(state: StateManager) -> None:
    assert_type(AutoSave.production, AutoSaveOptions)
    options = AutoSaveOptions(interval_s=None, breaker=BreakerOptions(samples_min=3))
    with AutoSave(state, Mine(), options, interval_s=5) as saves:
        assert_type(saves, AutoSave)
        assert_type(saves.save(), int)
        assert_type(saves.pause(), int)
        assert_type(saves.load(), bool)
        assert_type(saves.metrics, AutoSaveMetrics)
        assert_type(saves.metrics.last_error, BaseException | None)
    async with AutoSave(state, Frozen()) as saves:
        assert_type(await saves.asave(), int)
        assert_type(await saves.aload(), bool)
    assert_type(Mine().save(state), int)
    assert_type(await Mine().aload(state), bool)
    AutoSave(state, {})  # type: ignore[arg-type]
