"""`opentelemetry-instrumentation-fastapi`: as documented, and without the spans of each send and receive."""

from __future__ import annotations

from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._providers import tracer_provider


def build(spans: str) -> ASGIApp:
    """`default`, or `lean`: the server span alone."""
    app = application()
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=tracer_provider(),
        meter_provider=MeterProvider([InMemoryMetricReader()]),
        exclude_spans=["send", "receive"] if spans == "lean" else None,
    )
    return app
