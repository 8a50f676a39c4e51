"""FastAPI's own telemetry and the instrumentations: one server span, no second metric, no second log record."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import _logs, metrics, trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.drive import Answer, ask, requests, running
from tests.edge_cases.conftest import Lines, Observe

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
    def server_spans(self) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.kind is SpanKind.SERVER]

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


@native
async def test_without_belvedere_there_would_be_three_signals(global_telemetry: Telemetry) -> None:
    """FastAPI makes spans, metrics and records as soon as providers exist: what the other tests rely on."""
    await ask_all(application())
    assert len(global_telemetry.server_spans) == 6
    assert sorted(global_telemetry.metrics) == ["http.server.active_requests", "http.server.request.duration"]
    assert len(global_telemetry.records) == 4


@native
async def test_one_server_span_no_metric_and_no_record(
    global_telemetry: Telemetry, observe: Observe, lines: Lines
) -> None:
    """With global providers, each request has FastAPI's span, whose ids the lines carry, and nothing a second time."""
    app = application()
    observe(app)
    answers = await ask_all(app)
    assert [answer.status for answer in answers] == STATUSES
    spans = global_telemetry.server_spans
    assert [span.name for span in spans] == ["GET /items/{item_id}"] * 3 + ["GET /sub/items/{item_id}"] * 3
    ids = [(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in spans if span.context]
    found = lines()
    access = [line for line in found if line["event"] == "request_processed"]
    assert [(line["trace_id"], line["span_id"]) for line in access] == ids
    assert [line["event"] for line in found if line["logger"] == "belvedere"] == [
        "validation_error",
        "unhandled_exception",
    ] * 2
    assert global_telemetry.metrics == []
    assert list(global_telemetry.records) == []


@native
async def test_without_a_tracer_provider_nobody_makes_anything(
    telemetry: Telemetry, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and logs configured, traces not: mounted applications make no metrics and records of their own either."""
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", telemetry.meter_provider)
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", telemetry.logger_provider)
    app = application()
    observe(app)
    assert [answer.status for answer in await ask_all(app)] == STATUSES
    assert (telemetry.metrics, list(telemetry.records)) == ([], [])


@native
async def test_a_switched_off_feature_leaves_fastapis_signal(global_telemetry: Telemetry, observe: Observe) -> None:
    """Where Belvedere makes no metrics and no logs, FastAPI's stay."""
    app = application()
    observe(app, metrics=None, logs=None)
    await ask_all(app)
    assert sorted(global_telemetry.metrics) == ["http.server.active_requests", "http.server.request.duration"]
    assert len(global_telemetry.records) == 4


@native
async def test_providers_given_by_name_are_kept(telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """Whoever gave FastAPI providers of their own for a signal goes on getting it; the span is adopted."""
    app = application(
        telemetry={
            "tracer_provider": telemetry.tracer_provider,
            "meter_provider": telemetry.meter_provider,
            "logger_provider": telemetry.logger_provider,
        }
    )
    observe(app)
    answer = await ask(app, path="/items/x", headers=PARENT)
    (span,) = telemetry.server_spans
    assert span.context is not None
    (line,) = lines("request_processed")
    assert line["request_id"] == answer.id
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{span.context.span_id:016x}")
    assert (len(telemetry.metrics), len(telemetry.records)) == (2, 1)


@native
async def test_remove_gives_fastapis_telemetry_back(global_telemetry: Telemetry, observe: Observe) -> None:
    """After `remove()`, application and mounted application make what they made before."""
    app = application()
    before = dict(app._telemetry)
    obs = observe(app)
    await ask_all(app)
    obs.remove()
    assert dict(app._telemetry) == before
    await ask(app, path="/items/0")
    await ask(app, path="/sub/items/0")
    assert sorted(global_telemetry.metrics) == ["http.server.active_requests", "http.server.request.duration"]
    assert len(global_telemetry.records) == 2


async def test_instrumented_before_observe(telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """contrib first: its span is the one server span, lines carry its ids, an exception is told and counted once."""
    app = application()
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=telemetry.tracer_provider, exclude_spans=["receive", "send"]
    )
    obs = observe(app)
    try:
        answers = await ask_all(app)
        report = obs.report()["tracing"]
    finally:
        obs.remove()
        FastAPIInstrumentor.uninstrument_app(app)
    assert [answer.status for answer in answers] == STATUSES
    assert answers[2].json() == {
        "error": "internal_server_error",
        "message": "An unexpected error occurred",
        "request_id": answers[2].id,
    }
    spans = telemetry.server_spans
    assert len(spans) == 6
    ids = [(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") for span in spans if span.context]
    found = lines()
    assert [(one["trace_id"], one["span_id"]) for one in found if one["event"] == "request_processed"] == ids
    assert [one["exception_type"] for one in found if one["event"] == "unhandled_exception"] == [
        "ZeroDivisionError"
    ] * 2
    assert report == {
        "state": "off",
        "why": "server spans are made by opentelemetry.instrumentation.asgi; logs carry their ids",
    }


async def test_an_exception_behind_an_instrumentation_is_known_at_the_last_byte(
    telemetry: Telemetry, observe: Observe, lines: Lines
) -> None:
    """contrib puts one error middleware around another; the exception is still counted, in debug mode too."""
    app = application(debug=True)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    obs = observe(app)
    try:
        answer = await ask(app, path="/items/0")
        counted = await requests(app)
        exposed = (await ask(app, path="/metrics")).body.decode()
    finally:
        obs.remove()
        FastAPIInstrumentor.uninstrument_app(app)
    assert answer.json()["error"] == "internal_server_error"
    assert counted == {("GET", "/items/{item_id}", "500"): 1.0}
    kind = 'http_exceptions_total{method="GET",endpoint="/items/{item_id}",exception="ZeroDivisionError"} 1.0'
    assert kind in exposed.splitlines()
    assert [line["level"] for line in lines()] == ["error", "error"]


async def test_instrumented_after_observe(telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """contrib second leaves itself out; requests are served and logged all the same, and the report says why."""
    app = application()
    obs = observe(app)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    try:
        assert (await ask(app, path="/items/1")).status == 200
        report = obs.report()["tracing"]
    finally:
        FastAPIInstrumentor.uninstrument_app(app)
    assert telemetry.server_spans == []
    assert len(lines("request_processed")) == 1
    assert report == {
        "state": "off",
        "why": "opentelemetry-instrumentation-fastapi came after Belvedere and left itself out: call observe last",
    }


@native
async def test_instrumented_and_global_providers(global_telemetry: Telemetry, observe: Observe) -> None:
    """contrib and FastAPI's own telemetry together: still one server span for each request."""
    app = application()
    FastAPIInstrumentor.instrument_app(app)
    obs = observe(app)
    try:
        await ask_all(app)
    finally:
        obs.remove()
        FastAPIInstrumentor.uninstrument_app(app)
    assert len(global_telemetry.server_spans) == 6
    assert list(global_telemetry.records) == []


@native
async def test_starlettes_own_middleware(global_telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """Starlette's `OpenTelemetryMiddleware` makes the one server span; FastAPI makes none beside it."""
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware

    app = application()
    app.add_middleware(OpenTelemetryMiddleware)
    obs = observe(app)
    answers = await ask_all(app, headers=PARENT)
    assert [answer.status for answer in answers] == STATUSES
    spans = global_telemetry.server_spans
    assert {span.instrumentation_scope.name for span in spans if span.instrumentation_scope} == {"starlette"}
    assert len(spans) == 6
    ids = [f"{span.context.span_id:016x}" for span in spans if span.context]
    access = lines("request_processed")
    assert [line["span_id"] for line in access] == ids
    assert {line["trace_id"] for line in access} == {TRACE}
    obs.remove()
    assert app._telemetry["tracing"] is True


def test_without_any_telemetry_nothing_of_opentelemetry_is_imported() -> None:
    """Nothing turns on because a package is importable: no provider, no import of the SDK."""
    code = (
        "import sys, fastapi, belvedere\n"
        "belvedere.observe(fastapi.FastAPI())\n"
        "print(sorted(name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'sentry_sdk'))), end='')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "[]"


async def test_a_lifespan_with_an_instrumentation(telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """Starting and stopping is told as without one."""
    app = application()
    FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    obs = observe(app)
    try:
        async with running(app):
            pass
    finally:
        obs.remove()
        FastAPIInstrumentor.uninstrument_app(app)
    assert [line["event"] for line in lines()] == [
        "application_starting",
        "application_started",
        "application_stopped",
    ]
