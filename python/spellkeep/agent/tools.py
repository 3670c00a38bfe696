"""How an agent has used its tools."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from spellkeep.agent.layout import TOOL, named
from spellkeep.agent.parts import NamedView
from spellkeep.agent.saving import Change

if TYPE_CHECKING:
    from spellkeep.agent.agent import AgentView


class ToolUsage(NamedTuple):
    """The figures of one tool.

    Attributes:
        ok, failed: calls that came back, and calls that did not.
        total_ms: the time of all of them.
        last_used: the end of the last one, in UTC; None: never.
        input_tokens, output_tokens: tokens of all of them.
        cost: money, in whatever currency was recorded.
    """

    ok: int = 0
    failed: int = 0
    total_ms: float = 0.0
    last_used: datetime | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    @property
    def calls(self) -> int:
        """How many: `ok` and `failed` together."""
        return self.ok + self.failed

    @property
    def average_ms(self) -> float:
        """Time per call; 0 without calls."""
        return self.total_ms / self.calls if self.calls else 0.0

    def __add__(self, other: Any) -> ToolUsage:
        """Both together."""
        used = [each for each in (self.last_used, other.last_used) if each is not None]
        sums = {name: getattr(self, name) + getattr(other, name) for name in self._fields if name != "last_used"}
        return ToolUsage(last_used=max(used, default=None), **sums)

    @classmethod
    def of(cls, stored: Any) -> ToolUsage:
        """The figures that an entry holds; of anything else, none."""
        known = stored if isinstance(stored, dict) else {}
        return cls(**{name: value for name, value in known.items() if name in cls._fields})


class ToolsView(NamedView[ToolUsage]):
    """Figures by the name of the tool."""

    def __init__(self, agent: AgentView) -> None:
        super().__init__(agent, TOOL)

    def _of(self, stored: Any) -> ToolUsage:
        return ToolUsage.of(stored)

    def total(self) -> ToolUsage:
        """The figures of all tools together."""
        total = ToolUsage()
        for usage in self.values():
            total += usage
        return total


class Tools(ToolsView):
    """The same, to add to. Figures add up right from any number of threads."""

    _agent: Any

    def record(
        self,
        name: str,
        *,
        ms: float = 0.0,
        ok: bool = True,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cost: float = 0.0,
    ) -> int:
        """Save that a tool was called once; return the version. Cost: one record, and one for the figures before."""
        call = ToolUsage(int(ok), int(not ok), ms, datetime.now(UTC), input_tokens, output_tokens, cost)

        def added(stored: Any) -> dict[str, Any]:
            # A state that was saved whole may know more of a tool.
            known = stored if isinstance(stored, dict) else {}
            return {**known, **(ToolUsage.of(stored) + call)._asdict()}

        change = Change()
        change.fold[named(TOOL, name)] = [added]
        version: int = self._agent._save(change)
        return version

    @contextmanager
    def call(self, name: str, **figures: Any) -> Iterator[dict[str, Any]]:
        """``with agent.tools.call("search") as figures:`` times the block and records it; failed when it raises.

        What is put into `figures` (input_tokens, output_tokens, cost) is recorded with it.
        """
        begun = time.perf_counter()
        try:
            yield figures
        except BaseException:
            self.record(name, ms=(time.perf_counter() - begun) * 1e3, ok=False, **figures)
            raise
        self.record(name, ms=(time.perf_counter() - begun) * 1e3, **figures)
