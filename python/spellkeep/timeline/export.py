"""A timeline in the formats that other tools read. No export has a value in it: names, times and causes only.

Sources: Trace Event Format (Chrome, Perfetto), OTLP 1.5 JSON encoding, Mermaid flowcharts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from spellkeep.changes import Change

if TYPE_CHECKING:
    from spellkeep.timeline.timeline import Timeline

__all__ = ["chrome_trace", "json_lines", "mermaid", "otlp", "row_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTERNAL_SPAN = 1
_HEX = frozenset("0123456789abcdef")


def _us(change: Change) -> int:
    """Microseconds since the Unix epoch, exactly."""
    since = change.at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _name(change: Change) -> str:
    """What happened, and to which key."""
    return f"{change.operation} {change.key}" if change.key is not None else f"{change.operation} {change.scope}"


def row_of(change: Change, depth: int) -> dict[str, Any]:
    """A change as a dict of what JSON can say, without its value."""
    return {
        "version": change.version,
        "at": change.at.isoformat(timespec="microseconds"),
        "operation": change.operation,
        "scope": str(change.scope),
        "key": change.key,
        "correlation": change.correlation,
        "actor": change.actor,
        "cause": change.cause,
        "tags": list(change.tags),
        "depth": depth,
    }


def json_lines(timeline: Timeline) -> Iterator[str]:
    """A JSON object for each change, in the order of their versions."""
    return (json.dumps(row_of(change, timeline.depth_of(change)), ensure_ascii=False) for change in timeline)


def _ends_us(timeline: Timeline) -> dict[int, int]:
    """When the last that a change led to happened, per version: its own time for a leaf."""
    ends: dict[int, int] = {}
    for change in reversed(timeline):
        ends[change.version] = max([_us(change), *(ends[each.version] for each in timeline.caused_by(change))])
    return ends


def chrome_trace(timeline: Timeline) -> dict[str, Any]:
    """A trace for chrome://tracing and ui.perfetto.dev: a thread for each scope, an arrow from each cause.

    A change that caused others is a slice that ends with the last of them; any other is an instant.
    """
    threads: dict[str, int] = {}
    ends = _ends_us(timeline)
    events: list[dict[str, Any]] = []
    for change in timeline:
        thread = threads.setdefault(str(change.scope), len(threads) + 1)
        place = {"pid": 1, "tid": thread, "ts": _us(change), "cat": "spellkeep"}
        args = row_of(change, timeline.depth_of(change))
        caused = timeline.caused_by(change)
        if caused:
            length_us = max(1, ends[change.version] - _us(change))
            events.append({"ph": "X", "name": _name(change), "dur": length_us, **place, "args": args})
        else:
            events.append({"ph": "i", "s": "t", "name": _name(change), **place, "args": args})
        for each in caused:
            events.append({"ph": "s", "id": each.version, "name": "caused", **place})
            target = threads.setdefault(str(each.scope), len(threads) + 1)
            there = {"pid": 1, "tid": target, "ts": _us(each), "cat": "spellkeep"}
            events.append({"ph": "f", "bp": "e", "id": each.version, "name": "caused", **there})
    names = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": scope}}
        for scope, number in threads.items()
    ]
    return {"traceEvents": names + events, "displayTimeUnit": "ms"}


def _trace_id(correlation: str) -> str:
    """The correlation id itself if it is a trace id, else one that is made of it."""
    if len(correlation) == 32 and _HEX.issuperset(correlation) and correlation.strip("0"):
        return correlation
    return blake2b(correlation.encode(), digest_size=16).hexdigest()


def otlp(timeline: Timeline, service: str = "spellkeep") -> dict[str, Any]:
    """An OTLP ``ExportTraceServiceRequest`` as JSON has it: a span for each change, below its cause.

    Each correlation is a trace.
    """
    ends = _ends_us(timeline)
    spans = []
    for change in timeline:
        attributes = {
            "spellkeep.version": change.version,
            "spellkeep.operation": change.operation,
            "spellkeep.scope": str(change.scope),
            "spellkeep.key": change.key,
            "spellkeep.correlation": change.correlation,
            "spellkeep.actor": change.actor,
        }
        root = timeline.chain(change)[0]
        span = {
            # What has no correlation id is a trace with what it came from.
            "traceId": _trace_id(change.correlation or f"version {root.version}"),
            "spanId": f"{change.version:016x}",
            "name": _name(change),
            "kind": _INTERNAL_SPAN,
            "startTimeUnixNano": str(_us(change) * 1000),
            "endTimeUnixNano": str(ends[change.version] * 1000),
            "attributes": [_attribute(name, value) for name, value in attributes.items() if value is not None],
        }
        if change.cause is not None:
            span["parentSpanId"] = f"{change.cause:016x}"
        spans.append(span)
    resource = {"attributes": [_attribute("service.name", service)]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "spellkeep"}, "spans": spans}]}]}


def _attribute(name: str, value: str | int) -> dict[str, Any]:
    # 64-bit integers are strings there.
    return {"key": name, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}


def mermaid(timeline: Timeline) -> str:
    """A Mermaid flowchart: a box for each change, an arrow from each cause."""
    lines = ["flowchart TD"]
    for change in timeline:
        label = f"{change.version} {_name(change)} ({change.scope})"
        lines.append(f'  v{change.version}["{_escaped(label)}"]')
    lines += [
        f"  v{change.cause} --> v{change.version}" for change in timeline if timeline.cause_of(change) is not None
    ]
    return "\n".join(lines) + "\n"


def _escaped(label: str) -> str:
    """As Mermaid's entity codes: whatever could end the label or begin markup."""
    return "".join(letter if letter.isalnum() or letter in " .:/_-" else f"#{ord(letter)};" for letter in label)
