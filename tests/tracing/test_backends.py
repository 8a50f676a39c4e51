"""A real OpenTelemetry Collector and a real Jaeger take what is exported, where variables say that there are such."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import trace

import belvedere
from tests.backends.addresses import address, needed
from tests.drive import ask, running, samples
from tests.tracing.conftest import Lines, Observe
from tests.tracing.receiver import Receiver, values
from tests.tracing.written import written

DEADLINE = 30.0

T = TypeVar("T")


def shop() -> FastAPI:
    app = FastAPI(version="1.2.3")

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        with trace.get_tracer("shop").start_as_current_span("look"):
            belvedere.get_logger("shop").info("looked")
            return 10 // item_id

    return app


@pytest.mark.parametrize(
    ("protocol", "variable"), [("http/protobuf", "OTLP_HTTP_URL"), ("grpc", "OTLP_GRPC_URL")], ids=["http", "grpc"]
)
async def test_a_collector_takes_all_signals(
    protocol: str, variable: str, observe: Observe, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans, log records and metrics: nothing is refused or lost, and all of it is what the Collector tells."""
    (endpoint,) = needed(variable)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "600000")  # once, at the end
    service = f"shop-{uuid4().hex}"
    app = shop()
    tracing = {"endpoint": endpoint, "protocol": protocol}
    logs = {"format": "json", "otlp": True}
    obs = observe(app, service=service, tracing=tracing, logs=logs, metrics={"otlp": True})
    async with running(app):
        ids = [(await ask(app, path=f"/items/{item}")).id for item in (1, 0)]
    assert await samples(app, "belvedere_spans_dropped_total", "belvedere_log_records_dropped_total") == {}
    assert obs.report()["tracing"]["state"] == "on"
    assert lines("export_failed") == []
    if file := address("OTLP_FILE"):
        arrived = await until(lambda: written(file, service), whole)
        assert Counter(sent.item.name for sent in arrived.spans) == {"GET /items/{item_id}": 2, "look": 2}
        assert {sent.trace_id for sent in arrived.spans} == {found.replace("-", "") for found in ids}
        events = Counter(sent.item.body.string_value for sent in arrived.records if sent.trace_id.strip("0"))
        assert events == {"looked": 2, "request_processed": 2, "unhandled_exception": 1}
        assert {sent.trace_id for sent in arrived.records} >= {sent.trace_id for sent in arrived.spans}
        (counted,) = (sent.item for sent in arrived.metrics if sent.item.name == "http_requests_total")
        assert [(values(point.attributes)["status"], point.as_double) for point in counted.sum.data_points] == [
            ("200", 1),
            ("500", 1),
        ]
        everything = [*arrived.spans, *arrived.records, *arrived.metrics]
        assert {(sent.resource["service.name"], sent.resource["service.version"]) for sent in everything} == {
            (service, "1.2.3")
        }


def whole(arrived: Receiver) -> bool:
    """Whether each signal's last export is in the file: the Collector writes them in any order."""
    last = [sent for sent in arrived.records if sent.item.body.string_value == "application_stopped"]
    return bool(len(arrived.spans) >= 4 and arrived.metrics and last)


async def test_jaeger_shows_the_trace(observe: Observe) -> None:
    """The trace whose id is the request's is there: the server span, its child, tags, process and the exception."""
    query, endpoint = needed("JAEGER_URL", "JAEGER_OTLP_HTTP_URL")
    app = shop()
    observe(app, tracing={"endpoint": endpoint})
    async with running(app):
        answer = await ask(app, path="/items/0")
    url = f"{query}/api/traces/{answer.id.replace('-', '')}"
    found = await until(lambda: _trace(url), lambda got: len(got["spans"]) == 2)
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
    answer = httpx.get(url, timeout=5)
    for found in answer.json()["data"] or () if answer.status_code == 200 else ():
        return dict(found)
    return {"spans": []}


async def until(look: Callable[[], T], arrived: Callable[[T], bool]) -> T:
    """Look again until it has arrived; return what was seen."""
    deadline = time.monotonic() + DEADLINE
    while not arrived(found := await asyncio.to_thread(look)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    return found
