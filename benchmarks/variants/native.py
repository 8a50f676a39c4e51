"""FastAPI's own telemetry, with the SDK's providers; spans end in a batch processor whose exporter drops them."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._providers import tracer_provider


def build(part: str) -> ASGIApp:
    """One of `span` (no operation spans), `metrics`, `traces` (with operation spans), `all`."""
    telemetry: dict[str, Any] = {"tracing": False, "metrics": False, "logs": False}
    if part in ("span", "traces", "all"):
        telemetry |= {"tracing": True, "tracer_provider": tracer_provider(), "operation_spans": part != "span"}
    if part in ("metrics", "all"):
        telemetry |= {"metrics": True, "meter_provider": MeterProvider([InMemoryMetricReader()])}
    if part == "all":
        telemetry |= {"logs": True, "logger_provider": LoggerProvider()}
    return application(telemetry=telemetry)
