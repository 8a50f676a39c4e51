"""Tracing in real servers: workers that were forked, and collectors that are dead when the service stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes.launch import Process, command, launch, running, wait_for
from tests.processes.several import connected
from tests.tracing.receiver import Receiver, receiving

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
    # Forked workers would begin with the same ids.
    assert len({span_id for _, span_id in servers}) == REQUESTS


def test_dead_collectors_keep_nobody(tmp_path: Path) -> None:
    """Services whose collectors are away answer as quickly, and stop in time: each protocol, silent and refused."""
    (tmp_path / "shop.py").write_text(SHOP)
    with ExitStack() as stack:
        services = [
            begun(stack, tmp_path, says, protocol)
            for says in ("nothing", "no")
            for protocol in ("http/protobuf", "grpc")
        ]
        for process in services:
            wait_for(process.serves, process)
        for process in services:
            for _ in range(20):
                assert process.get("/items/1").status == 200
        stopping = time.monotonic()
        for process in services:
            process.signal(signal.SIGTERM)
        for process in services:
            process.ended()
        stopped = time.monotonic() - stopping
    assert stopped < 25  # four at once
    for process in services:
        told = [json.loads(line) for line in process.stdout.splitlines() if '"export_failed"' in line]
        assert [(line["signal"], line["dropped"] > 0) for line in told] == [("traces", True)]
        assert "application_stopped" in process.stdout
        everything = process.stdout + process.stderr
        assert not re.search("Traceback|sesame-of-the-collector|retrying", everything)


def begun(stack: ExitStack, folder: Path, says: str, protocol: str) -> Process:
    """Start a service with a collector that says nothing, or no."""
    listening = stack.enter_context(socket.socket())
    listening.bind(("127.0.0.1", 0))
    if says == "nothing":
        listening.listen(64)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listening.getsockname()[1]}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20sesame-of-the-collector",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "ENVIRONMENT": "local",
    }
    port = free_port()
    return stack.enter_context(running(command("uvicorn", port), folder, environment, port))


def access_lines(process: Process) -> list[dict[str, str]]:
    lines = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request_processed"]
