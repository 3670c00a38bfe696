"""What the records of one piece of work share: a correlation id, who asked for it, names to find it by, its cause."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from spellkeep import _core
from spellkeep._core import Correlation

__all__ = ["Correlation", "correlate", "current_correlation"]


def _recording_span() -> Any:
    # Only if the program uses it: it is no dependency.
    trace = sys.modules.get("opentelemetry.trace")
    span = None if trace is None else trace.get_current_span()
    return span if span is not None and span.is_recording() else None


def _fresh_id(span: Any) -> str:
    if span is not None and (found := span.get_span_context()).is_valid:
        return f"{found.trace_id:032x}"
    return uuid.uuid4().hex


@contextmanager
def correlate(
    id: str | None = None, *, actor: str | None = None, tags: Iterable[str] = (), cause: int | None = None
) -> Iterator[Correlation]:
    """Let everything that is written in the block say that it belongs together: ``with sk.correlate("req-42"):``.

    It holds for this thread, or this task, and for the tasks that it starts; a thread takes it over when it runs in a
    copied context (``asyncio.to_thread`` does that, ``contextvars.copy_context().run`` too). In a block inside of
    another, what is not given is the outer one's, and tags come in addition to its. While an OpenTelemetry span is
    recording, it gets the attribute ``spellkeep.correlation``.

    Args:
        id: 1 to 128 bytes of UTF-8 without control characters. Without one, and without an outer one: the trace id of
            the OpenTelemetry span that is recording, else a fresh one.
        actor: who asks for it; as `id`.
        tags: names to find it by; each as `id`, together up to 255 bytes with one between each two.
        cause: the version of the record or event that caused it.
    Raises: InvalidKey (correlation.empty, correlation.too_long, correlation.control_character,
        correlation.lone_surrogate, correlation.tags_too_long), on entering.
    Cost: a few microseconds; then about 30 bytes and 20 ns for each record.
    """
    # Before the variable is there, so that a mistake costs the other writers nothing.
    given = Correlation(id, actor=actor, tags=tags, cause=cause)
    var = _core.correlation_var()
    outer, span = var.get(Correlation()), _recording_span()
    now = Correlation(
        given.id or outer.id or _fresh_id(span),
        actor=given.actor or outer.actor,
        tags=dict.fromkeys((*outer.tags, *given.tags)),
        cause=outer.cause if given.cause is None else given.cause,
        read_only=outer.read_only,
    )
    if span is not None:
        span.set_attribute("spellkeep.correlation", now.id)
    token = var.set(now)
    try:
        yield now
    finally:
        var.reset(token)


def current_correlation() -> Correlation | None:
    """What a write would be part of here and now; None outside of every `correlate` and span of events."""
    return _core.correlation_var().get(None)


@contextmanager
def replaying(id: str) -> Iterator[None]:
    """Let every store of this process refuse to write what is asked for in the block: ReadOnly (replay.read_only)."""
    var = _core.correlation_var()
    token = var.set(Correlation(id, read_only=True))
    try:
        yield
    finally:
        var.reset(token)


@contextmanager
def part_of(inside: Correlation) -> Iterator[None]:
    """Let everything that is written in the block be part of this, whatever is active where it runs."""
    var = _core.correlation_var()
    read_only = var.get(Correlation()).read_only
    token = var.set(
        Correlation(inside.id, actor=inside.actor, tags=inside.tags, cause=inside.cause, read_only=read_only)
    )
    try:
        yield
    finally:
        var.reset(token)


@contextmanager
def caused_by(version: int) -> Iterator[None]:
    """Let everything that is written in the block have this cause, and be part of what it would be without."""
    var = _core.correlation_var()
    outer = var.get(Correlation())
    token = var.set(Correlation(outer.id, actor=outer.actor, tags=outer.tags, cause=version, read_only=outer.read_only))
    try:
        yield
    finally:
        var.reset(token)
