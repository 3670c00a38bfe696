"""What came of a replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, overload

from spellkeep.hooks import Execution
from spellkeep.replay.comparing import Difference
from spellkeep.replay.running import Answer

DIVERGED = frozenset({"different", "nondeterministic", "writes", "error"})
"""The statuses that say: this is not as it was recorded."""


@dataclass(frozen=True, kw_only=True)
class ReplayItem:
    """One execution, and what came of replaying it.

    Attributes:
        execution: as it was recorded.
        status: ``same`` or ``different`` from what was recorded; ``nondeterministic``: runs differ from each other;
            ``writes``: it tried to write; ``recorded``, ``would run``: it was not run, nor to be; ``cancelled``,
            ``no hook``, ``disabled``: it was not run; ``input gone``, ``input differs``, ``redacted``, ``unclear``:
            what it was given is not there; ``error``: the replay itself failed.
        answer: what came out; None: it did not run.
        differences: from what was recorded.
        score: how similar that is, 0 to 1.
        detail: one sentence for people.
        depends_on: what its answers depend on besides its input: ``time``, ``random``, ``environment``, ``set order``,
            ``other``.
    """

    execution: Execution
    status: str
    answer: Answer | None = None
    differences: tuple[Difference, ...] = ()
    score: float | None = None
    detail: str = ""
    depends_on: tuple[str, ...] = ()

    @property
    def diverged(self) -> bool:
        """Whether it is not as it was recorded."""
        return self.status in DIVERGED

    def document(self) -> dict[str, Any]:
        """For JSON, without secrets."""
        done, answer = self.execution, self.answer
        recorded = {
            "outcome": done.result,
            "error": done.error,
            "version": done.version,
            "input": f"{done.digest:016x}",
        }
        if done.answered is not None:
            recorded["digest"] = f"{done.answered:016x}"
        document: dict[str, Any] = {
            "id": done.id,
            "hook": done.hook,
            "at": done.at.astimezone(UTC).isoformat(),
            "status": self.status,
            "recorded": recorded,
        }
        if answer is not None:
            document["replayed"] = answer.shown()
            if answer.digest is not None:
                document["replayed"]["digest"] = f"{answer.digest:016x}"
        if self.differences:
            document["differences"] = [str(each) for each in self.differences]
        for name in ("score", "detail", "depends_on"):
            if (value := getattr(self, name)) not in (None, "", ()):
                document[name] = list(value) if isinstance(value, tuple) else value
        return document

    def __str__(self) -> str:
        line = f"{self.execution.id}  {self.status}"
        if self.depends_on:
            line += f"  (depends on {', '.join(self.depends_on)})"
        if self.detail:
            line += f"  {self.detail}"
        return "\n".join([line, *(f"    {each}" for each in self.differences)])


class ReplayReport(Sequence[ReplayItem]):
    """The items of a replay, in the order of the executions that were given."""

    def __init__(self, mode: str, items: Sequence[ReplayItem]) -> None:
        self.mode = mode
        self._items = tuple(items)

    @overload
    def __getitem__(self, index: int, /) -> ReplayItem: ...
    @overload
    def __getitem__(self, index: slice, /) -> tuple[ReplayItem, ...]: ...
    def __getitem__(self, index: int | slice, /) -> ReplayItem | tuple[ReplayItem, ...]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[ReplayItem]:
        return iter(self._items)

    @property
    def counts(self) -> dict[str, int]:
        """How many items have each status."""
        return dict(Counter(item.status for item in self._items))

    @property
    def first_divergence(self) -> ReplayItem | None:
        """The first item that is not as it was recorded."""
        return next((item for item in self._items if item.diverged), None)

    @property
    def score(self) -> float | None:
        """How similar it is to what was recorded, 0 to 1; None: nothing was compared."""
        scores = [item.score for item in self._items if item.score is not None]
        return sum(scores) / len(scores) if scores else None

    def document(self) -> dict[str, Any]:
        """For JSON, without secrets."""
        first = self.first_divergence
        return {
            "mode": self.mode,
            "counts": self.counts,
            "score": self.score,
            "first_divergence": None if first is None else first.execution.id,
            "items": [item.document() for item in self._items],
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {status}" for status, count in sorted(self.counts.items()))
        lines = [f"{self.mode}: {counts or 'nothing to replay'}"]
        if self.score is not None:
            lines[0] += f"; similarity {self.score:.3f}"
        if (first := self.first_divergence) is not None:
            lines.append(f"first divergence: {first}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<ReplayReport {self}>"
