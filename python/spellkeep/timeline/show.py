"""A timeline as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spellkeep.changes import Change

__all__ = ["as_text", "line_of", "subject_of"]

# Names come from users, and could drive the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def subject_of(change: Change) -> str:
    """Where it happened, without what it was: scope, and the key of an entry."""
    if change.key is None or change.operation == "event":
        return str(change.scope)
    return f"{change.scope} {change.key}"


def line_of(depth: int, change: Change) -> str:
    """One change, indented by its depth: version, time, what and where, who."""
    moment = change.at.strftime("%H:%M:%S.%f")
    what = f"* {change.key}" if change.operation == "event" else change.operation
    who = f"  by {change.actor}" if change.actor else ""
    tags = "".join(f" #{tag}" for tag in change.tags)
    indent = "  " * depth
    return _CONTROL.sub(" ", f"{change.version:>8}  {moment}  {indent}{what}  {subject_of(change)}{who}{tags}")


def as_text(walk: Iterable[tuple[int, Change]]) -> str:
    """A line for each, with a line before the first of each day, and of each correlation."""
    lines: list[str] = []
    day = None
    # No correlation has an empty id.
    correlation: str | None = ""
    for depth, change in walk:
        if day != (day := change.at.date()):
            lines.append(f"{day.isoformat()} UTC")
        if depth == 0 and correlation != (correlation := change.correlation):
            lines.append(_CONTROL.sub(" ", f"[{correlation}]" if correlation else "[no correlation]"))
        lines.append(line_of(depth, change))
    return "\n".join(lines)
