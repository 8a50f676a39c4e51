"""Instrumentations by others: their server span is the one, whoever came first."""

from __future__ import annotations

import pytest
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from tests.drive import ask, requests, running
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.telemetry import PARENT, STATUSES, TRACE, Telemetry, application, ask_all, native


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


async def test_instrumented_and_observed_twice(
    telemetry: Telemetry, observe: Observe, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """contrib and Belvedere, each asked twice: one server span, one line, one count."""
    app = application()
    for _ in range(2):
        FastAPIInstrumentor.instrument_app(app, tracer_provider=telemetry.tracer_provider)
    obs = observe(app)
    observe(app)
    try:
        await ask(app, path="/items/1")
        counted = await requests(app)
    finally:
        obs.remove()
        FastAPIInstrumentor.uninstrument_app(app)
    assert [span.name for span in telemetry.server_spans] == ["GET /items/{item_id}"]
    assert len(lines("request_processed")) == 1
    assert counted == {("GET", "/items/{item_id}", "200"): 1.0}
