"""A real OpenTelemetry Collector and a real Jaeger take what is exported; by the addresses of theirs in variables."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace

import belvedere
from tests.drive import ask, running, samples
from tests.tracing.conftest import Lines, Observe

DEADLINE = 30.0


def address(variable: str) -> str:
    """Return where a server is, or skip the test."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"no {variable}")
    return found


def shop() -> FastAPI:
    app = FastAPI(title="Shop", version="1.2.3")

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        with trace.get_tracer("shop").start_as_current_span("look"):
            belvedere.get_logger("shop").info("looked")
            return 10 // item_id

    return app


@pytest.mark.parametrize(
    ("protocol", "variable"), [("http/protobuf", "OTLP_HTTP_URL"), ("grpc", "OTLP_GRPC_URL")], ids=["http", "grpc"]
)
async def test_a_collector_takes_all_signals(protocol: str, variable: str, observe: Observe, lines: Lines) -> None:
    """Spans, log records and metrics: nothing is refused, and nothing is lost."""
    tracing = {"endpoint": address(variable), "protocol": protocol}
    app = shop()
    obs = observe(app, tracing=tracing, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
    async with running(app):
        for item in (1, 0):
            await ask(app, path=f"/items/{item}")
    assert await samples(app, "belvedere_spans_dropped_total", "belvedere_log_records_dropped_total") == {}
    assert obs.report()["tracing"]["state"] == "on"
    assert lines("export_failed") == []


async def test_jaeger_shows_the_trace(observe: Observe) -> None:
    """The trace whose id is the request's is there: the server span, its child, tags, process and the exception."""
    query = address("JAEGER_URL")
    app = shop()
    observe(app, tracing={"endpoint": address("JAEGER_OTLP_HTTP_URL")})
    async with running(app):
        answer = await ask(app, path="/items/0")
    found = await asyncio.to_thread(_trace, f"{query}/api/traces/{answer.id.replace('-', '')}")
    spans = {span["operationName"]: span for span in found["spans"]}
    assert spans.keys() == {"GET /items/{item_id}", "look"}
    server, child = spans["GET /items/{item_id}"], spans["look"]
    assert [reference["spanID"] for reference in child["references"]] == [server["spanID"]]
    tags = {tag["key"]: tag["value"] for tag in server["tags"]}
    assert tags["belvedere.request_id"] == answer.id
    assert (tags["http.route"], tags["http.response.status_code"], tags["span.kind"], tags["error"]) == (
        "/items/{item_id}",
        500,
        "server",
        True,
    )
    fields = [{field["key"]: field["value"] for field in log["fields"]} for log in server["logs"]]
    assert [one["exception.type"] for one in fields] == ["ZeroDivisionError"]
    assert {process["serviceName"] for process in found["processes"].values()} == {"shop"}


def _trace(url: str) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE
    while True:
        answer = httpx.get(url, timeout=5)
        for found in answer.json()["data"] or () if answer.status_code == 200 else ():
            if len(found["spans"]) == 2:
                return dict(found)
        assert time.monotonic() < deadline, url
        time.sleep(0.1)
