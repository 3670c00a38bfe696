"""The calls of a store about replaying hooks. The room itself is imported with the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.replay import ReplayManager
    from spellkeep.replay.scheduler import Scheduler


class ReplayCalls:
    """What `StateManager` has for replay."""

    @property
    def replay(self) -> ReplayManager:
        """What hooks did, to be done again where it touches nothing. See ``spellkeep.replay``."""
        from spellkeep.replay import ReplayManager

        return ReplayManager(self)  # type: ignore[arg-type]

    def _begin_replays(self) -> None:
        """Run what an earlier process scheduled."""
        if self.list_keys(StateScope.custom("spellkeep.replay"), "schedule/"):  # type: ignore[attr-defined]
            self.replay._scheduler().begin()

    def _end_replays(self) -> None:
        """Before the store is closed."""
        found: Scheduler | None = self.__dict__.get("_scheduler")
        if found is not None and not self.forked and not self.closed:  # type: ignore[attr-defined]
            found.end()
