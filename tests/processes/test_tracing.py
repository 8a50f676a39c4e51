"""Tracing in real servers: workers that were forked, and collectors that are dead when the service stops."""

from __future__ import annotations

import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.launch import Process, launch, wait_for
from tests.processes.several import connected
from tests.tracing.receiver import Receiver, receiving

pytestmark = pytest.mark.timeout(180)

SHOP = """
import os

import belvedere
from fastapi import FastAPI
from opentelemetry import trace

app = FastAPI(title="shop")
tracer = trace.get_tracer("shop")
belvedere.observe(app)
with tracer.start_as_current_span("before the fork"):
    pass


@app.get("/pid")
async def pid() -> int:
    return os.getpid()


@app.get("/items/{item_id}")
async def item(item_id: int) -> int:
    with tracer.start_as_current_span("look"):
        return os.getpid()
"""
REQUESTS = 60


@pytest.fixture(params=["http/protobuf", "grpc"])
def collector(request: pytest.FixtureRequest) -> Iterator[tuple[str, Receiver]]:
    with receiving() as receiver:
        yield request.param, receiver


def test_workers_of_a_preloaded_application(tmp_path: Path, collector: tuple[str, Receiver]) -> None:
    """Each worker that gunicorn forks exports its own spans, each once; every line's ids are those of a span."""
    protocol, receiver = collector
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc if protocol == "grpc" else receiver.http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "BELVEDERE_REQUESTS__EXCLUDE": '["/pid", "/healthz"]',
        "ENVIRONMENT": "local",
    }
    with launch("gunicorn", tmp_path, SHOP, "--preload", workers=2, environment=environment) as process:
        with connected(process, 2) as connections:
            pids = Counter(int(connections[number % 2].get("/items/1")) for number in range(REQUESTS))
        wait_for(lambda: len(receiver.spans) >= 2 * REQUESTS, process)
        assert process.stop() == 0
    assert len(pids) == 2
    names = Counter(sent.item.name for sent in receiver.spans)
    # What the parent had was the parent's to send, in the thread that began before it forked.
    assert names - Counter({"before the fork": 1}) == {"GET /items/{item_id}": REQUESTS, "look": REQUESTS}
    servers = {(sent.trace_id, sent.span_id) for sent in receiver.spans if sent.item.kind == 2}
    lines = access_lines(process)
    assert {(line["trace_id"], line["span_id"]) for line in lines} == servers
    assert len({sent.trace_id for sent in receiver.spans if sent.item.name != "before the fork"}) == REQUESTS


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("says", ["nothing", "no"])
def test_a_dead_collector_keeps_nobody(says: str, protocol: str, tmp_path: Path) -> None:
    """A service whose collector is away answers as quickly, and stops in time."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if says == "nothing":
            listening.listen(64)
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listening.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20sesame-of-the-collector",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "ENVIRONMENT": "local",
        }
        with launch("uvicorn", tmp_path, SHOP, environment=environment) as process:
            for _ in range(REQUESTS):
                assert process.get("/items/1").status == 200
            stopping = time.monotonic()
            process.stop()
            stopped = time.monotonic() - stopping
    assert stopped < 10
    told = [json.loads(line) for line in process.stdout.splitlines() if '"export_failed"' in line]
    assert [(line["signal"], line["dropped"] > 0) for line in told] == [("traces", True)]
    assert "application_stopped" in process.stdout
    everything = process.stdout + process.stderr
    assert not re.search("Traceback|sesame-of-the-collector|retrying", everything)


def access_lines(process: Process) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request_processed"]
