"""OpenTelemetry SDK providers that keep what they are given, and an application to watch with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.drive import Answer, ask

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = [(b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]

native = pytest.mark.skipif(not hasattr(FastAPI(), "_telemetry"), reason="FastAPI before 0.142 makes no telemetry")


@dataclass
class Telemetry:
    """SDK providers that keep what they are given."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider
    _spans: InMemorySpanExporter
    _reader: InMemoryMetricReader
    _records: InMemoryLogRecordExporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._spans.get_finished_spans()

    @property
    def server_spans(self) -> list[ReadableSpan]:
        return [span for span in self.spans if span.kind is SpanKind.SERVER]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that have data."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [metric.name for of in data.resource_metrics for scope in of.scope_metrics for metric in scope.metrics]

    @property
    def records(self) -> Sequence[Any]:
        return self._records.get_finished_logs()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Providers that somebody has configured."""
    spans, reader, records = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    made = Telemetry(TracerProvider(), MeterProvider([reader]), LoggerProvider(), spans, reader, records)
    made.tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    made.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(records))
    yield made
    made.tracer_provider.shutdown()
    made.meter_provider.shutdown()
    made.logger_provider.shutdown()


@pytest.fixture
def global_telemetry(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> Telemetry:
    """The same as the providers of the process."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", telemetry.meter_provider)
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", telemetry.logger_provider)
    return telemetry


def application(**options: Any) -> FastAPI:
    """Return an application that is good, bad and broken, and mounts another such."""

    def routes(app: FastAPI) -> FastAPI:
        @app.get("/items/{item_id}")
        async def item(item_id: int) -> int:
            return 10 // item_id

        return app

    app = routes(FastAPI(**options))
    app.mount("/sub", routes(FastAPI()))
    return app


async def ask_all(app: FastAPI, **options: Any) -> list[Answer]:
    """Ask for what is good, invalid and broken, of both applications."""
    paths = [f"{mount}/items/{item}" for mount in ("", "/sub") for item in ("1", "x", "0")]
    return [await ask(app, path=path, **options) for path in paths]


STATUSES = [200, 422, 500, 200, 422, 500]
"""What `ask_all` gets."""
