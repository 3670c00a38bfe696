"""A timeline as one HTML page that needs nothing else: no script, nothing from a network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from spellkeep.changes import Change
from spellkeep.timeline.show import subject_of

if TYPE_CHECKING:
    from spellkeep.timeline.timeline import Timeline

__all__ = ["html_page"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --event: #b35c00; --set: #0b6e4f; --gone: #a3123a; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.25rem; } p { opacity: .75; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bar { width: 30%; } td.bar div { height: .7rem; margin-top: .3rem; background: currentColor; min-width: 3px; }
.event { color: var(--event); } .set { color: var(--set); } .gone { color: var(--gone); }
tr:target { outline: 2px solid; }
"""
_COLUMNS = ("version", "after", "what", "where", "correlation", "actor", "cause", "")


def html_page(timeline: Timeline, title: str = "Timeline") -> str:
    """The page. Each cause comes before what it caused; a bar goes from a change to the last that it led to."""
    stats = timeline.stats()
    summary = f"{stats.count:,} changes in {stats.seconds:.3f} s, {stats.roots:,} roots, depth {stats.depth}"
    if stats.missing_causes:
        summary += f", {stats.missing_causes:,} causes outside of this timeline"
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n<p>{escape(summary)}</p>\n"
        f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(_rows(timeline)) + "\n</tbody>\n</table>\n"
        "</body>\n</html>\n"
    )


def _rows(timeline: Timeline) -> Iterator[str]:
    if not timeline:
        return
    begin = min(change.at for change in timeline)
    whole_s = max(timeline.seconds, 1e-6)
    ends = {change.version: change.at for change in timeline}
    for change in reversed(timeline):
        if change.cause in ends:
            ends[change.cause] = max(ends[change.cause], ends[change.version])
    for depth, change in timeline.walk():
        after_s = (change.at - begin).total_seconds()
        length_s = max(0.0, (ends[change.version] - change.at).total_seconds())
        bar = f"margin-left:{100 * after_s / whole_s:.2f}%;width:{100 * length_s / whole_s:.2f}%"
        cause = change.cause or ""
        link = f'<a href="#v{cause}">{cause}</a>' if timeline.cause_of(change) else cause
        yield (
            f'<tr id="v{change.version}"><td class="number">{change.version}</td>'
            f'<td class="number">+{after_s:.6f} s</td>'
            f'<td class="{_class(change)}" style="padding-left:{0.6 + 1.2 * depth:.1f}rem">{escape(_what(change))}</td>'
            f"<td>{escape(subject_of(change))}</td><td>{escape(change.correlation or '')}</td>"
            f'<td>{escape(change.actor or "")}</td><td class="number">{link}</td>'
            f'<td class="bar {_class(change)}"><div style="{bar}"></div></td></tr>'
        )


def _what(change: Change) -> str:
    return (change.key or "event") if change.operation == "event" else change.operation


def _class(change: Change) -> str:
    return change.operation if change.operation in {"event", "set"} else "gone"
