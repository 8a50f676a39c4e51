"""What leaves the process, over HTTP and gRPC; and a collector that is away, refuses, or says nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import requests
from fastapi import FastAPI
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import belvedere
from belvedere import Settings
from belvedere.tracing.queue import GOODBYE, Queue, Send
from tests.drive import ask, running, samples
from tests.ports import free_port
from tests.tracing.conftest import Lines, Observe
from tests.tracing.receiver import Receiver

SECRET = "hunter2-of-the-collector"


def shop() -> FastAPI:
    app = FastAPI(title="Shop", version="1.2.3")

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        with trace.get_tracer("shop").start_as_current_span("look"):
            return 10 // item_id

    return app


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a collector that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def refusing() -> str:
    """The address of a port on which nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_spans_arrive(
    protocol: str, observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the common variables alone: spans, their resource, and the headers of the export, as the lifespan ends."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http if protocol != "grpc" else receiver.grpc)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{SECRET},x-tenant=a")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=market,host.name=h1")
    monkeypatch.setenv("ENVIRONMENT", "staging")
    app = shop()
    obs = observe(app)
    async with running(app):
        answer = await ask(app, path="/items/1", headers=[(b"tracestate", b"a=b")])
        failed = await ask(app, path="/items/0")
    receiver.wait(lambda receiver: len(receiver.spans) == 4)
    by_name = {(sent.item.name, sent.item.status.code): sent for sent in receiver.spans}
    good, bad = by_name["GET /items/{item_id}", 0], by_name["GET /items/{item_id}", 2]
    assert (
        good.resource.items()
        >= {
            "service.name": "shop",
            "service.version": "1.2.3",
            "deployment.environment.name": "staging",
            "service.namespace": "market",
            "host.name": "h1",
            "telemetry.sdk.language": "python",
        }.items()
    )
    assert (good.trace_id, good.item.kind, good.scope) == (answer.id.replace("-", ""), 2, "belvedere")
    assert good.attributes["http.route"] == "/items/{item_id}"
    assert (bad.trace_id, [event.name for event in bad.item.events]) == (failed.id.replace("-", ""), ["exception"])
    look = by_name["look", 0]
    assert (look.trace_id, look.item.parent_span_id) == (good.trace_id, good.item.span_id)
    assert {headers["authorization"] for headers in receiver.headers} == {f"Bearer {SECRET}"}
    row = obs.report()["tracing"]
    assert row["state"] == "on"
    assert row["why"].endswith(f"over {protocol}")
    assert SECRET not in str(obs.settings) + str(obs.report()) + str(obs.catalogue())


async def test_an_export_makes_no_spans(observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instrumentations are told to keep out of exports, of any signal: a span of each would be exported for ever."""
    kept_out: list[object] = []
    send = requests.Session.send

    def sending(session: requests.Session, *arguments: Any, **options: Any) -> requests.Response:
        kept_out.append(otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY))
        return send(session, *arguments, **options)

    monkeypatch.setattr(requests.Session, "send", sending)
    app = shop()
    observe(app, tracing={"endpoint": receiver.http}, logs={"format": "json", "otlp": True}, metrics={"otlp": True})
    async with running(app):
        await ask(app, path="/items/1")
    assert receiver.spans
    assert receiver.records
    assert receiver.metrics
    assert set(kept_out) == {True}


async def test_what_a_service_is_by_its_resource(
    observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OTEL_RESOURCE_ATTRIBUTES` names the service, percent-encoded as it may be; each instance has an id."""
    named = "service.name=tea%20shop,service.version=9,deployment.environment.name=qa"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", named)
    app = shop()
    obs = belvedere.observe(app, settings=Settings(tracing={"endpoint": receiver.http}))
    async with running(app):
        await ask(app, path="/items/1")
    obs.remove()
    resource = receiver.spans[0].resource
    assert resource["service.instance.id"]
    assert (resource["service.name"], resource["service.version"]) == ("tea shop", "9")
    assert resource["deployment.environment.name"] == "qa"


async def test_the_variable_for_traces_is_taken_as_it_is(
    observe: Observe, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is added to an address that is meant for traces alone; to one for all signals, `/v1/traces` is."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.http}/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    app = shop()
    observe(app)
    async with running(app):
        await ask(app, path="/items/1")
    assert len(receiver.spans) == 2


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("collector", ["silent", "refusing"])
async def test_a_dead_collector(  # noqa: PLR0917 - fixtures
    collector: str,
    protocol: str,
    observe: Observe,
    request: pytest.FixtureRequest,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests are as quick as ever, the shut-down has a bound, what is lost is told once and holds no secret."""
    # Few are enough for several batches, and take less time than an exporter does to give one up, which is told.
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20")
    endpoint = request.getfixturevalue(collector).replace("//", f"//user:{SECRET}@")
    if protocol == "grpc":
        endpoint = request.getfixturevalue(collector)
    app = shop()
    settings = {"endpoint": endpoint, "protocol": protocol, "headers": {"authorization": SECRET}}
    obs = observe(app, tracing=settings)
    slowest = 0.0
    async with running(app):
        for _ in range(50):  # more than a batch: the export has begun
            began = time.perf_counter()
            assert (await ask(app, path="/items/1")).status == 200
            slowest = max(slowest, time.perf_counter() - began)
        stopping = time.perf_counter()
    assert time.perf_counter() - stopping < GOODBYE + 5
    assert slowest < 3.0
    again = time.perf_counter()
    report = obs.report()
    obs.remove()
    assert time.perf_counter() - again < GOODBYE + 5
    written = lines()
    (told,) = [line for line in written if line["event"] == "export_failed"]
    assert (told["level"], told["signal"], told["dropped"] > 0) == ("warning", "traces", True)
    assert "exception" not in told
    assert SECRET not in str(written) + str(report)


def _more_than(seen: int, receiver: Receiver) -> bool:
    return len(receiver.headers) > seen


async def test_a_collector_that_refuses_is_told_once_a_minute(
    observe: Observe, receiver: Receiver, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not take is counted, told in one line without a traceback, and not again within the minute."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    receiver.status = 401
    app = shop()
    observe(app, tracing={"endpoint": receiver.http})
    for _ in range(3):
        seen = len(receiver.headers)
        await ask(app, path="/items/1")
        await asyncio.to_thread(receiver.wait, partial(_more_than, seen))
    deadline = time.monotonic() + 60
    while (dropped := await samples(app, "belvedere_spans_dropped_total")) != {
        'belvedere_spans_dropped_total{reason="export_failed"}': 6.0
    }:
        assert time.monotonic() < deadline, dropped
        await asyncio.sleep(0.02)
    told = [line for line in lines() if line["level"] in {"warning", "error"}]
    assert [line["event"] for line in told] == ["export_failed"]
    assert "401" in told[0]["reason"]


def test_a_queue_is_bounded_and_counts(caplog: pytest.LogCaptureFixture) -> None:
    """What it has no room for is dropped at once, counted and told; the rest is sent in batches, in order."""
    sent: list[list[Any]] = []
    opened = threading.Event()

    def send(items: Sequence[Any]) -> bool:
        sent.append(list(items))
        return True

    def connect() -> tuple[Send, Callable[[], None]]:
        opened.wait(30)
        return send, lambda: None

    queue = Queue("traces", connect, limit=5, batch=2, delay=60)
    queue.put("first")
    queue._wake.set()
    while queue._items:  # it has been taken out, and waits for the connection
        time.sleep(0.01)
    for number in range(8):
        queue.put(number)
    assert queue.dropped == {"queue_full": 3}
    opened.set()
    assert queue.flush(10)
    assert sent == [["first"], [0, 1], [2, 3], [4]]
    (record,) = [record for record in caplog.records if record.message == "export_failed"]
    assert (vars(record)["reason"], vars(record)["dropped"]) == ("the queue was full", 3)
    queue.close()
    queue.put("late")
    assert len(sent) == 4


async def test_headers_that_are_none(
    observe: Observe, receiver: Receiver, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands in the variable of headers is a secret in any form: the exporter's complaint would show it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key {SECRET}")
    receiver.status = 401
    app = shop()
    observe(app, tracing={"endpoint": receiver.http})
    async with running(app):
        await ask(app, path="/items/1")
    written = lines()
    (told,) = [line for line in written if line["event"] == "export_failed"]
    assert "401" in told["reason"]
    assert SECRET not in str(written)


def test_an_exporter_that_raises_is_kept_from_everybody(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an exporter raises is a line; the next batch is tried again."""
    tries: list[Any] = []

    def send(items: Sequence[Any]) -> bool:
        tries.append(items)
        raise RuntimeError("broken")

    queue = Queue("traces", lambda: (send, lambda: None), limit=5, batch=1, delay=0.01)
    queue.put(1)
    queue.put(2)
    assert queue.flush(10)
    assert (tries, queue.dropped) == ([[1], [2]], {"export_failed": 2})
    (record,) = [record for record in caplog.records if record.message == "export_failed"]
    assert (record.levelno, vars(record)["reason"]) == (logging.WARNING, "RuntimeError: broken")
    queue.close()


def test_a_forked_child_sends_its_own() -> None:
    """After a fork the child has a thread of its own, and nothing of what its parent had still to send."""
    read, write = os.pipe()
    parent: list[Any] = []

    def connect() -> Any:
        def send(items: Sequence[Any]) -> bool:
            if os.getpid() == own:
                parent.extend(items)
            else:
                os.write(write, repr(list(items)).encode())
            return True

        return send, lambda: None

    own = os.getpid()
    queue = Queue("traces", connect, limit=100, batch=10, delay=60)
    queue.put("first")
    assert queue.flush(10)
    queue.put("parent's")
    child = os.fork()
    if child == 0:
        try:
            queue.put("child's")
            os._exit(0 if queue.flush(10) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b'["child\'s"]'
    assert queue.flush(10)
    assert parent == ["first", "parent's"]
    queue.close()


async def test_another_provider_of_the_process_is_respected(observe: Observe, receiver: Receiver) -> None:
    """Where the application has set one up, spans go through it, and nothing is exported a second time."""
    from tests.tracing.conftest import keeping

    kept = keeping()
    once, before = trace._TRACER_PROVIDER_SET_ONCE, trace._TRACER_PROVIDER
    trace.set_tracer_provider(kept.provider)
    try:
        app = shop()
        obs = observe(app, tracing={"endpoint": receiver.http})
        await ask(app, path="/items/1")
        assert obs.report()["tracing"]["why"] == (
            "through the TracerProvider that the application has set up; tracing.endpoint is not used"
        )
        obs.remove()
        assert trace.get_tracer_provider() is kept.provider
        assert sorted(span.name for span in kept.spans) == ["GET /items/{item_id}", "look"]
        assert receiver.spans == []
    finally:
        trace._TRACER_PROVIDER_SET_ONCE, trace._TRACER_PROVIDER = type(once)(), before


async def test_two_applications(observe: Observe, receiver: Receiver) -> None:
    """Each exports as the service that it is; when the first is removed, the process' tracers go to the second."""
    first, second = shop(), shop()
    one = observe(first, service="first", tracing={"endpoint": receiver.http})
    two = observe(second, service="second", tracing={"endpoint": receiver.http})
    await ask(first, path="/items/1")
    await ask(second, path="/items/2")
    own = trace.get_tracer_provider()
    one.remove()
    assert isinstance(trace.get_tracer_provider(), TracerProvider)
    assert trace.get_tracer_provider() is not own
    two.remove()
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    found = {
        (sent.resource["service.name"], sent.attributes["url.path"]) for sent in receiver.spans if sent.item.kind == 2
    }
    assert found == {("first", "/items/1"), ("second", "/items/2")}
