"""FastAPI's own telemetry: one server span, no second metric, no second log record."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import _logs, metrics

from tests.drive import ask
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.telemetry import PARENT, STATUSES, TRACE, Telemetry, application, ask_all, native


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
    assert [span.status.is_ok for span in spans] == [True, True, False] * 2
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


def test_without_any_telemetry_nothing_of_opentelemetry_is_imported() -> None:
    """Nothing turns on because a package is importable: no provider, no import of the SDK."""
    code = (
        "import sys, fastapi, belvedere\n"
        "belvedere.observe(fastapi.FastAPI())\n"
        "print(sorted(name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'sentry_sdk'))), end='')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout == "[]"


@native
async def test_probes_and_scrapes_have_no_span(global_telemetry: Telemetry, observe: Observe, lines: Lines) -> None:
    """What is excluded has no span, no child span and no line; what the application excludes itself stays excluded."""
    app = application(telemetry={"exclude": lambda scope: scope["path"] == "/items/2"})
    observe(app, requests={"exclude": ["/healthz", "/metrics", "/sub/*"]})
    for path in ("/healthz", "/metrics", "/sub/items/1", "/items/2", "/readyz", "/items/1"):
        assert (await ask(app, path=path)).status == 200
    assert [span.name for span in global_telemetry.server_spans] == ["GET", "GET /items/{item_id}"]
    parents = {span.context.span_id for span in global_telemetry.server_spans if span.context}
    assert {span.parent.span_id for span in global_telemetry.spans if span.parent} <= parents
    assert [line["path"] for line in lines()] == ["/items/2", "/readyz", "/items/1"]
