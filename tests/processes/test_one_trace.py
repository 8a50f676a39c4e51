"""One request through services, a database, Redis and tasks is one trace, with one request id, in real processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backends.addresses import needed
from tests.celeryworker import working
from tests.ports import free_port
from tests.processes.launch import Process, command, running, wait_for
from tests.tracing.receiver import Receiver, receiving
from tests.tracing.written import written

SHOP = """
import os

import belvedere
import httpx
import redis.asyncio
from belvedere import integrations
from celery import Celery
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

app = FastAPI(title="shop")
engine = create_async_engine(os.environ["DATABASE_URL"])
client = redis.asyncio.Redis.from_url(os.environ["REDIS_URL"])
tasks = Celery(broker=os.environ["REDIS_URL"])
tasks.conf.task_default_queue = os.environ["QUEUE"]
parts = [integrations.sqlalchemy(engine), integrations.redis(client), integrations.httpx(), integrations.celery(tasks)]
belvedere.observe(app, *parts)
log = belvedere.get_logger("shop")


@app.get("/orders/{order_id}")
async def order(order_id: int) -> int:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    await client.get("order")
    async with httpx.AsyncClient(timeout=60) as http:
        answer = await http.get(f"{os.environ['STOCK_URL']}/stock/{order_id}")
    tasks.send_task("shop.pack", [order_id])
    log.info("ordered")
    return answer.json()
"""

STOCK = """
import os

import belvedere
from belvedere import integrations
from fastapi import FastAPI
from sqlalchemy import create_engine, select, table

app = FastAPI(title="stock")
engine = create_engine(os.environ["DATABASE_URL"].replace("asyncpg", "psycopg"))
belvedere.observe(app, integrations.sqlalchemy(engine))
log = belvedere.get_logger("stock")


@app.get("/stock/{item_id}")
def stock(item_id: int) -> int:
    with engine.connect() as connection:
        found = connection.execute(select(1).select_from(table("pg_class")).limit(1)).scalar_one()
    log.info("counted")
    return found
"""

PACKING = """
import os

import belvedere
import redis
from belvedere import integrations
from celery import Celery

app = Celery("packing", broker=os.environ["REDIS_URL"])
app.conf.task_default_queue = os.environ["QUEUE"]
client = redis.Redis.from_url(os.environ["REDIS_URL"])
log = belvedere.get_logger("packing")


@app.task(name="shop.pack")
def pack(order_id):
    client.get("order")
    log.info("packed")
    label.delay(order_id)


@app.task(name="shop.label")
def label(order_id):
    log.info("labelled")


belvedere.observe(app, integrations.redis(client))
"""

EXPECTED = {
    "shop GET /orders/{order_id}": None,
    "shop SELECT": "shop GET /orders/{order_id}",
    "shop GET (redis)": "shop GET /orders/{order_id}",
    "shop GET": "shop GET /orders/{order_id}",
    "stock GET /stock/{item_id}": "shop GET",
    "stock SELECT pg_class": "stock GET /stock/{item_id}",
    "shop send shop.pack": "shop GET /orders/{order_id}",
    "packing process shop.pack": "shop send shop.pack",
    "packing GET (redis)": "packing process shop.pack",
    "packing send shop.label": "packing process shop.pack",
    "packing process shop.label": "packing send shop.label",
}
"""The spans of the trace, each with its parent."""


@dataclass(frozen=True)
class Spot:
    """One span, whoever showed it."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    """The service, and what the span is called."""
    request_id: str | None


@dataclass
class Destination:
    """Where spans go, and what has arrived there of a trace."""

    endpoint: str
    protocol: str
    arrived: Callable[[str], list[Spot]]


def _named(service: str, name: str, attributes: dict[str, Any]) -> str:
    return f"{service} {name}{' (redis)' if attributes.get('db.system.name') == 'redis' else ''}"


def _received(receiver: Receiver, trace_id: str) -> list[Spot]:
    return [
        Spot(
            sent.trace_id,
            sent.span_id,
            str(sent.item.parent_span_id.hex()),
            _named(sent.resource["service.name"], sent.item.name, sent.attributes),
            sent.attributes.get("belvedere.request_id"),
        )
        for sent in list(receiver.spans)
        if sent.trace_id == trace_id
    ]


def _shown(jaeger: str, trace_id: str) -> list[Spot]:
    answer = httpx.get(f"{jaeger}/api/traces/{trace_id}", timeout=5)
    if answer.status_code != 200:
        return []
    (found,) = answer.json()["data"]
    spots = []
    for span in found["spans"]:
        tags = {tag["key"]: tag["value"] for tag in span["tags"]}
        service = found["processes"][span["processID"]]["serviceName"]
        parent = next((reference["spanID"] for reference in span["references"]), "")
        name = _named(service, span["operationName"], tags)
        spots.append(Spot(span["traceID"], span["spanID"], parent, name, tags.get("belvedere.request_id")))
    return spots


def _written(path: str, trace_id: str) -> list[Spot]:
    return _received(written(path, trace_id), trace_id)


@pytest.fixture(params=["own", "collector over http", "collector over grpc", "jaeger"])
def destination(request: pytest.FixtureRequest) -> Iterator[Destination]:
    """A collector of the tests' own; a real one, which writes to a file (`OTLP_FILE`); a real Jaeger."""
    if request.param == "own":
        with receiving() as receiver:
            yield Destination(receiver.http, "http/protobuf", partial(_received, receiver))
        return
    query, endpoint, protocol, arrived = {
        "jaeger": ("JAEGER_URL", "JAEGER_OTLP_HTTP_URL", "http/protobuf", _shown),
        "collector over http": ("OTLP_FILE", "OTLP_HTTP_URL", "http/protobuf", _written),
        "collector over grpc": ("OTLP_FILE", "OTLP_GRPC_URL", "grpc", _written),
    }[request.param]
    there, at = needed(query, endpoint)
    yield Destination(at, protocol, partial(arrived, there))


def test_a_request_is_one_trace(destination: Destination, tmp_path: Path, postgres_url: str, broker_url: str) -> None:
    """Database, Redis, another service and its database, a task and the one that it starts: each span is below the one
    that asked for it, and all lines of the three processes have the one request id."""
    environment = {
        "DATABASE_URL": postgres_url,
        "REDIS_URL": broker_url,
        "BROKER": broker_url,
        "QUEUE": tmp_path.name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": destination.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": destination.protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "ENVIRONMENT": "local",
    }
    folders = {name: tmp_path / name for name in ("shop", "stock", "packing")}
    for folder in folders.values():
        folder.mkdir()
    options = ["--concurrency=1", "--without-gossip", "--without-mingle"]
    ports = {"shop": free_port(), "stock": free_port()}
    environment["STOCK_URL"] = f"http://127.0.0.1:{ports['stock']}"
    with (
        begun(folders["stock"], STOCK, environment, ports["stock"]) as stock,
        begun(folders["shop"], SHOP, environment, ports["shop"]) as shop,
        working(folders["packing"], *options, environment=environment, source=PACKING) as worker,
    ):
        for process in (stock, shop):
            wait_for(process.serves, process)
        answer = shop.get("/orders/7", {"X-Request-ID": "order-7"})
        assert (answer.status, answer.headers["x-request-id"]) == (200, "order-7")
        wait_for(lambda: any(line["event"] == "request_processed" for line in lines(shop)), shop)
        (trace_id,) = {line["trace_id"] for line in lines(shop)}
        wait_for(lambda: len(destination.arrived(trace_id)) >= len(EXPECTED), shop)
        worker.wait(event="task_processed", task_name="shop.label")
        for process in (shop, stock, worker.process):
            process.signal(signal.SIGTERM)
        for process in (shop, stock, worker.process):
            process.ended()
    spots = destination.arrived(trace_id)
    names = {spot.span_id: spot.name for spot in spots}
    assert {spot.name: names.get(spot.parent_id) for spot in spots} == EXPECTED
    assert len(spots) == len(EXPECTED)
    assert {spot.request_id for spot in spots} == {"order-7", None}
    for process, events in (
        (shop, {"ordered", "request_processed"}),
        (stock, {"counted", "request_processed"}),
        (worker.process, {"packed", "labelled", "task_processed"}),
    ):
        told = lines(process)
        assert {line["event"] for line in told} >= events
        assert {(line["request_id"], line["trace_id"]) for line in told} == {("order-7", trace_id)}
        assert {names[line["span_id"]] for line in told} < EXPECTED.keys()


def begun(folder: Path, source: str, environment: dict[str, str], port: int) -> AbstractContextManager[Process]:
    """Start a service, without waiting until it serves: all of them take their time at once."""
    (folder / "shop.py").write_text(source)
    return running(command("uvicorn", port), folder, {**os.environ, "PYTHONUNBUFFERED": "1", **environment}, port)


def lines(process: Process) -> list[dict[str, str]]:
    """Return the lines of requests and tasks, those of libraries too."""
    found = [json.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    return [line for line in found if "request_id" in line]
