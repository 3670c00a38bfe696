"""What is different between two states of an agent."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spellkeep.agent.layout import MISSING
from spellkeep.value import encode


@dataclass(frozen=True)
class Changed:
    """One difference.

    Attributes:
        path: where: ``context.goal``, ``messages[3]``.
        kind: ``"added"``, ``"removed"`` or ``"changed"``.
        old, new: the values; None where there is none.
    """

    path: str
    kind: str
    old: Any
    new: Any

    def __str__(self) -> str:
        lines = [] if self.kind == "added" else [f"- {self.path}: {self.old!r}"]
        return "\n".join(lines if self.kind == "removed" else [*lines, f"+ {self.path}: {self.new!r}"])


@dataclass(frozen=True)
class Difference:
    """What is different between two states; ``str()`` of it is for people.

    Attributes:
        changes: all of it, part by part.
    """

    changes: tuple[Changed, ...]

    @classmethod
    def of(cls, old: dict[str, Any], new: dict[str, Any]) -> Difference:
        """Compare two states."""
        return cls(
            tuple(
                each
                for name in dict.fromkeys([*old, *new])
                for each in _compare(name, old.get(name, MISSING), new.get(name, MISSING))
            )
        )

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __iter__(self) -> Iterator[Changed]:
        return iter(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no difference"


def _compare(path: str, old: Any, new: Any) -> Iterator[Changed]:
    if old is MISSING:
        yield Changed(path, "added", None, new)
    elif new is MISSING:
        yield Changed(path, "removed", old, None)
    elif type(old) is type(new) is dict and path.count(".") == 0:
        for name in dict.fromkeys([*old, *new]):
            yield from _compare(f"{path}.{name}", old.get(name, MISSING), new.get(name, MISSING))
    elif type(old) is type(new) is list:
        yield from _compare_lists(path, old, new)
    elif encode(old) != encode(new):
        yield Changed(path, "changed", old, new)


def _compare_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[Changed]:
    before, after = [encode(each) for each in old], [encode(each) for each in new]
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for operation, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if operation == "equal":
            continue
        both = min(old_to - old_from, new_to - new_from)
        for each in range(both):
            yield Changed(f"{path}[{new_from + each}]", "changed", old[old_from + each], new[new_from + each])
        for each in range(old_from + both, old_to):
            yield Changed(f"{path}[{each}]", "removed", old[each], None)
        for each in range(new_from + both, new_to):
            yield Changed(f"{path}[{each}]", "added", None, new[each])
