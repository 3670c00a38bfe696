"""The call of a store about replaying hooks. The room itself is imported with the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spellkeep.replay import ReplayManager


class ReplayCalls:
    """What `StateManager` has for replay."""

    @property
    def replay(self) -> ReplayManager:
        """What hooks did, to be done again where it touches nothing. See ``spellkeep.replay``."""
        from spellkeep.replay import ReplayManager

        return ReplayManager(self)  # type: ignore[arg-type]
