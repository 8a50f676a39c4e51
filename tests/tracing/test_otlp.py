"""Logs and metrics over OTLP: what arrives is what the log and a scrape say."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

import belvedere
from belvedere.tracing.queue import GOODBYE
from belvedere.wiring.findings import findings
from tests import drive
from tests.drive import ask, running
from tests.tracing.conftest import Kept, Lines, Observe
from tests.tracing.receiver import Receiver, Sent, values

SECRET = "hunter2-of-the-collector"


def shop() -> FastAPI:
    app = FastAPI(title="Shop", version="1.2.3")

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        log = belvedere.get_logger("shop")
        fields = {"tags": ["a", 1], "huge": 1 << 70, "nothing": None, "password": "secret", "when": {"x": 1.5}}
        log.warning("looked", item=item_id, **fields)
        return 10 // item_id

    return app


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_log_records(
    protocol: str, kept: Kept, observe: Observe, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line is a record with its level, time, trace, and all its fields, redacted as the line is."""
    endpoint = receiver.grpc if protocol == "grpc" else receiver.http
    headers = {"authorization": SECRET}
    tracing = {"endpoint": endpoint, "provider": kept.provider, "protocol": protocol, "headers": headers}
    app = shop()
    obs = observe(app, tracing=tracing, logs={"format": "json", "otlp": True, "keys": {"event": "message"}})
    async with running(app):
        await ask(app, path="/items/7")
        failed = await ask(app, path="/items/0")
    written = {line["message"]: line for line in drive.written(capsys)}
    arrived = {sent.item.body.string_value: sent for sent in receiver.records}
    assert arrived.keys() == written.keys()
    assert arrived.keys() >= {"application_starting", "application_stopped", "request_processed", "unhandled_exception"}
    looked, line = arrived["looked"], written["looked"]
    assert (looked.item.severity_text, looked.item.severity_number) == ("warning", 13)
    assert (looked.trace_id, looked.span_id, looked.item.flags & 1) == (line["trace_id"], line["span_id"], 1)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(looked.item.time_unix_nano // 1_000_000_000))
    assert f"{stamp}.{looked.item.time_unix_nano // 1000 % 1_000_000:06d}Z" == line["timestamp"]
    assert looked.attributes == {
        "logger": "shop",
        "request_id": failed.id,
        "item": 0,
        "tags": ["a", 1],
        "huge": str(1 << 70),
        "nothing": "",
        "password": "[redacted]",
        "when": {"x": 1.5},
    }
    assert looked.resource.items() >= {"service.name": "shop", "service.version": "1.2.3"}.items()
    assert "ZeroDivisionError" in arrived["unhandled_exception"].attributes["exception"]
    row = obs.report()["logs"]["why"]
    assert row.endswith(f"; exported over OTLP to {endpoint}{'' if protocol == 'grpc' else '/v1/logs'}")
    assert {headers["authorization"] for headers in receiver.headers} == {SECRET}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_metrics(protocol: str, observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample of a scrape arrives, by the same name and with the same labels, and once more at the end."""
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
    endpoint = receiver.grpc if protocol == "grpc" else receiver.http
    app = shop()
    placed = belvedere.counter("shop_orders_placed_total", "Orders placed.", ["channel"])
    obs = observe(app, tracing={"endpoint": endpoint, "protocol": protocol, "sample": 0}, metrics={"otlp": True})
    async with running(app):
        placed.labels("web").inc(3)
        for item in (1, 2, 0):
            await ask(app, path=f"/items/{item}")
        await asyncio.to_thread(receiver.wait, lambda receiver: bool(receiver.metrics))
        await ask(app, path="/items/2")
        scrape = (await ask(app, path="/metrics")).body.decode()
    assert "; exported over OTLP to" in obs.report()["metrics"]["why"]
    last: dict[str, Sent] = {sent.item.name: sent for sent in receiver.metrics}
    # A metric of no kind is none that a backend takes: those without a series yet do not go out.
    assert [name for name, sent in last.items() if sent.item.WhichOneof("data") is None] == []
    (orders,) = last["shop_orders_placed_total"].item.sum.data_points
    assert (orders.as_double, last["shop_orders_placed_total"].item.sum.is_monotonic) == (3.0, True)
    for family in text_string_to_metric_families(scrape):
        if family.name.startswith(("http_requests", "http_request_duration", "belvedere_info", "http_exceptions")):
            _same(family, last)
    duration = last["http_request_duration_seconds"].item
    assert (duration.unit, duration.histogram.aggregation_temporality) == ("s", 2)
    assert last["http_requests_total"].resource["service.name"] == "shop"


def _same(family: Any, last: dict[str, Sent]) -> None:
    """Whether a family of the scrape is what arrived."""
    if family.type == "histogram":
        points = {tuple(sorted(values(p.attributes).items())): p for p in last[family.name].item.histogram.data_points}
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "le"}
            point = points[tuple(sorted(labels.items()))]
            if sample.name.endswith("_count"):
                assert point.count == sample.value == sum(point.bucket_counts)
            elif sample.name.endswith("_sum"):
                assert point.sum == pytest.approx(sample.value)
            else:
                upto = [bound for bound in point.explicit_bounds if bound <= float(sample.labels["le"])]
                taken = len(upto) + (sample.labels["le"] == "+Inf")
                assert sum(point.bucket_counts[:taken]) == sample.value
        return
    for sample in family.samples:
        item = last[sample.name].item
        data = item.sum if family.type == "counter" else item.gauge
        found = {tuple(sorted(values(point.attributes).items())): point.as_double for point in data.data_points}
        assert found[tuple(sorted(sample.labels.items()))] == sample.value, sample


async def test_a_dead_collector_of_logs_and_metrics(observe: Observe, lines: Lines) -> None:
    """Nobody waits for it: requests are quick, the end has a bound, what is lost is told and counted."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = shop()
        observe(app, tracing={"endpoint": endpoint}, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
        async with running(app):
            for _ in range(20):
                began = time.perf_counter()
                await ask(app, path="/items/1")
                assert time.perf_counter() - began < 3.0
            stopping = time.perf_counter()
        assert time.perf_counter() - stopping < GOODBYE + 5
    assert {line["signal"] for line in lines("export_failed")} == {"traces", "logs", "metrics"}


@pytest.mark.parametrize("endpoint", [None, ""])
async def test_without_an_endpoint_the_report_says_so(
    endpoint: str | None, observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for, and nowhere to send it."""
    obs = observe(
        FastAPI(), tracing={"endpoint": endpoint}, logs={"format": "json", "otlp": True}, metrics={"otlp": True}
    )
    why = "; not exported over OTLP: no endpoint (OTEL_EXPORTER_OTLP_ENDPOINT or tracing.endpoint)"
    assert obs.report()["logs"]["why"].endswith(why)
    assert obs.report()["metrics"]["why"].endswith(why)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert obs.report()["logs"]["why"].endswith("; not exported over OTLP: OTEL_SDK_DISABLED is true")


@pytest.mark.parametrize("preferred", ["delta", "LowMemory", "else"])
async def test_another_temporality_is_refused(
    preferred: str, observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all workers have counted together cannot be sent as differences; the report and its findings say so."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preferred)
    app = shop()
    obs = observe(app, tracing={"endpoint": receiver.http, "sample": 0}, metrics={"otlp": True})
    async with running(app):
        await ask(app, path="/items/1")
        (found,) = findings(obs)
    assert f"METRICS_TEMPORALITY_PREFERENCE={preferred} is not followed" in found["finding"]
    assert found["feature"] == "metrics"
    assert f"TEMPORALITY_PREFERENCE={preferred} is not followed" in obs.report()["metrics"]["why"]
    last = {sent.item.name: sent.item for sent in receiver.metrics}
    assert last["http_request_duration_seconds"].histogram.aggregation_temporality == 2
    assert last["http_requests_total"].sum.aggregation_temporality == 2


@pytest.mark.parametrize("preferred", ["cumulative", "Cumulative", "", None])
async def test_the_temporality_that_is_asked_for(
    preferred: str | None, observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cumulative is what is sent, and nothing to tell of."""
    if preferred is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preferred)
    app = shop()
    obs = observe(app, tracing={"endpoint": receiver.http, "sample": 0}, metrics={"otlp": True})
    async with running(app):
        assert findings(obs) == []
    assert "TEMPORALITY" not in obs.report()["metrics"]["why"]


async def test_logs_alone(observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tracing off, logs go where their own variable says; no span is made."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", f"{receiver.http}/v1/logs")
    app = shop()
    obs = observe(app, tracing=None, logs={"format": "json", "otlp": True})
    async with running(app):
        answer = await ask(app, path="/items/1", headers=[(b"x-request-id", b"callers-own")])
    assert obs.report()["tracing"]["state"] == "off"
    (looked,) = [sent for sent in receiver.records if sent.item.body.string_value == "looked"]
    assert (looked.item.trace_id, looked.attributes["trace_id"], answer.id) == (b"", "callers-own", "callers-own")
    assert receiver.spans == []


async def test_each_signal_has_its_own_headers(
    observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What authorises one signal is not sent with another."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=of-spans")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "authorization=of-lines")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=of-the-rest")
    app = shop()
    observe(app, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
    async with running(app):
        await ask(app, path="/items/1")
    assert {headers["authorization"] for headers in receiver.headers} == {"of-spans", "of-lines", "of-the-rest"}


@pytest.mark.parametrize("everybodys", ["http/protobuf", ""])
async def test_each_signal_has_its_own_protocol(
    everybodys: str, observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans go over gRPC where their variable says so, the others as theirs say, or that of all signals."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", everybodys)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", receiver.grpc)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", receiver.grpc)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{receiver.http}/v1/metrics")
    app = shop()
    observe(app, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
    async with running(app):
        await ask(app, path="/items/1")
    assert receiver.spans
    assert receiver.records
    assert receiver.metrics


async def test_grpc_without_traces(observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tracing off, the variables of all signals still say where to and how."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    app = shop()
    observe(app, tracing=None, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
    async with running(app):
        await ask(app, path="/items/1")
    assert receiver.records
    assert receiver.metrics
    assert not receiver.spans


async def test_an_export_is_not_the_next_one(
    observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At level debug, what the HTTP client logs of an export is not exported, which would be logged again."""
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "20")
    app = shop()
    observe(app, tracing={"endpoint": receiver.http}, logs={"format": "json", "level": "debug", "otlp": True})
    for number in range(3):  # the second and third would bring those about the first
        await ask(app, path=f"/items/{number + 1}")
        await asyncio.to_thread(receiver.wait, partial(_has_looked, number + 1))
    loggers = {sent.attributes["logger"] for sent in receiver.records}
    assert loggers >= {"shop", "belvedere.access"}
    assert not [logger for logger in loggers if logger.startswith("urllib3")]


def _has_looked(times: int, receiver: Receiver) -> bool:
    return [sent.item.body.string_value for sent in receiver.records].count("looked") == times
