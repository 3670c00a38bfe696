"""Correlation beside OpenTelemetry, which is used only where the program has loaded it."""

from __future__ import annotations

import subprocess
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import spellkeep as sk

EXPORTED = InMemorySpanExporter()
PROVIDER = TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTED))
TRACER = PROVIDER.get_tracer("test")


def attribute() -> object:
    (span,) = EXPORTED.get_finished_spans()
    EXPORTED.clear()
    return (span.attributes or {}).get("spellkeep.correlation")


def test_the_id_is_that_of_the_trace() -> None:
    with TRACER.start_as_current_span("work") as span, sk.correlate() as now:
        assert now.id == f"{span.get_span_context().trace_id:032x}"
    assert attribute() == now.id


def test_an_id_that_is_given_is_told_to_the_span() -> None:
    with TRACER.start_as_current_span("work"), sk.correlate("req-42") as now:
        assert now.id == "req-42"
    assert attribute() == "req-42"


def test_the_outer_id_goes_before_that_of_the_trace() -> None:
    with sk.correlate("outer"), TRACER.start_as_current_span("work"), sk.correlate() as now:
        assert now.id == "outer"
    assert attribute() == "outer"


def test_outside_of_a_span_the_id_is_a_fresh_one() -> None:
    with sk.correlate() as now:
        assert now.id is not None
        assert set(now.id) != {"0"}
    assert EXPORTED.get_finished_spans() == ()


def test_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, spellkeep as sk\n"
        "with sk.correlate(): pass\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
