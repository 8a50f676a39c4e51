"""Celery in an observed application: what goes out with tasks, tasks that run at once, what a broker is asked."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, Reject
from fastapi import FastAPI
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind

import belvedere
from belvedere import failures, integrations
from belvedere.integrations._celery.figures import Figures
from tests.drive import ask, samples
from tests.integrations.conftest import Lines, Observe
from tests.ports import free_port
from tests.tracing.conftest import Kept

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
CAME = [(b"x-request-id", b"request-1"), (b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"a=1")]


class Shop:
    """Tasks, with a broker in memory."""

    def __init__(self, number: int) -> None:
        self.app = Celery(f"shop{number}", broker="memory://", backend="cache+memory://", set_as_current=False)
        self.app.conf.task_default_queue = f"shop{number}"
        self.seen: list[Any] = []

        def task(function: Any, **options: Any) -> Any:
            return self.app.task(function, name=f"shop.{function.__name__}", shared=False, **options)

        def note(*_: Any) -> str | None:
            self.seen.append(belvedere.request_id())
            return belvedere.request_id()

        def fails() -> None:
            raise LookupError("lost")

        def expected() -> None:
            raise LookupError("lost")

        def ignored() -> None:
            raise Ignore

        def rejected() -> None:
            raise Reject("no")

        def again(this: Any) -> Any:
            if this.request.retries == 0:
                raise this.retry(exc=ValueError("not yet"), countdown=0)
            return belvedere.request_id(), this.request.retries

        def outer() -> Any:
            self.note.delay()
            return belvedere.request_id()

        self.note, self.fails, self.ignored = task(note), task(fails), task(ignored)
        self.rejected, self.outer = task(rejected), task(outer)
        self.expected = task(expected, throws=(LookupError,))
        self.again = task(again, bind=True)

    def sent(self) -> dict[str, Any]:
        """Take the next message out of the queue; return its headers."""
        with self.app.connection_for_read() as connection:
            queue = connection.SimpleQueue(self.app.conf.task_default_queue)
            message = queue.get(timeout=60)
            message.ack()
            queue.close()
            headers: dict[str, Any] = message.headers
            return headers


_numbers = iter(range(1000))


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop(next(_numbers))
    yield made
    made.app.close()


def serving(call: Any) -> FastAPI:
    """Return an application with one endpoint, which calls."""
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> Any:
        return call()

    return app


async def test_at_once_within_a_request(shop: Shop, observe: Observe, lines: Lines, kept: Kept) -> None:
    """In eager mode a task has the request's id and trace, as the tasks that it calls have; one line and one count
    each; the spans are internal ones below the request's."""
    shop.app.conf.task_always_eager = True
    app = serving(lambda: shop.outer.delay().get())
    observe(app, integrations.celery(shop.app), tracing={"provider": kept.provider})
    answer = await ask(app, headers=CAME)
    assert (answer.json(), shop.seen) == ("request-1", ["request-1"])
    told = lines("task_processed")
    assert [(line["task_name"], line["status"], line["request_id"]) for line in told] == [
        ("shop.note", "success", "request-1"),
        ("shop.outer", "success", "request-1"),
    ]
    assert await samples(app, "celery_tasks_total") == {
        'celery_tasks_total{task_name="shop.outer",status="success"}': 1,
        'celery_tasks_total{task_name="shop.note",status="success"}': 1,
    }
    server, outer, inner = kept.one("GET /"), kept.one("process shop.outer"), kept.one("process shop.note")
    assert (outer.kind, inner.kind) == (SpanKind.INTERNAL, SpanKind.INTERNAL)
    assert server.context
    assert outer.context
    assert outer.parent
    assert inner.parent
    assert outer.parent.span_id == server.context.span_id
    assert inner.parent.span_id == outer.context.span_id
    assert f"{inner.parent.trace_id:032x}" == TRACE
    assert len(kept.spans) == 3


def test_at_once_outside_requests(shop: Shop, observe: Observe, lines: Lines) -> None:
    """Each outcome has its status, level and count; a retry keeps the id that was made; a job's id is the task's."""
    shop.app.conf.task_always_eager = True
    obs = observe(FastAPI(), integrations.celery(shop.app))
    made, retries = shop.again.delay().get()
    assert (len(made), retries) == (36, 1)
    for task in (shop.fails, shop.expected, shop.ignored, shop.rejected):
        task.delay()
    belvedere.set_request_id("job-1")
    assert shop.note.delay().get() == "job-1"
    belvedere.set_request_id(None)
    assert belvedere.request_id() is None
    told = {(line["task_name"], line["status"]): line for line in lines("task_processed")}
    assert {key: line["level"] for key, line in told.items()} == {
        ("shop.again", "retry"): "warning",
        ("shop.again", "success"): "info",
        ("shop.fails", "failure"): "error",
        ("shop.expected", "failure"): "warning",
        ("shop.ignored", "ignored"): "warning",
        ("shop.rejected", "rejected"): "warning",
        ("shop.note", "success"): "info",
    }
    assert told["shop.again", "retry"]["request_id"] == told["shop.again", "success"]["request_id"] == made
    assert told["shop.fails", "failure"]["exception"].endswith("LookupError: lost")
    assert "exception" not in told["shop.expected", "failure"]
    assert told["shop.expected", "failure"]["exception_type"] == "LookupError"
    metrics = obs._metrics
    assert metrics is not None
    text = metrics.text().decode()
    assert 'celery_task_retries_total{task_name="shop.again"} 1.0' in text
    assert 'celery_task_duration_seconds_count{task_name="shop.again"} 2.0' in text


async def test_what_goes_out(shop: Shop, observe: Observe) -> None:
    """Without tracing, a message has the request's id, and the trace that came with it; headers of one's own stay."""
    app = serving(lambda: shop.note.delay().id)
    obs = observe(app, integrations.celery(shop.app))
    await ask(app, headers=CAME)
    sent = shop.sent()
    assert (sent["X-Request-ID"], sent["traceparent"], sent["tracestate"]) == ("request-1", TRACEPARENT, "a=1")
    mine = {"X-Request-ID": "mine", "traceparent": TRACEPARENT[:-1] + "0"}
    app.get("/own")(lambda: shop.note.apply_async(headers=mine).id)
    await ask(app, path="/own", headers=CAME)
    sent = shop.sent()
    assert {name: sent[name] for name in mine} == mine
    assert "tracestate" not in sent
    shop.note.delay()
    assert not {"X-Request-ID", "traceparent"} & shop.sent().keys()
    obs.remove()
    await ask(app, headers=CAME)
    assert "X-Request-ID" not in shop.sent()


async def test_spans_of_what_goes_out(shop: Shop, observe: Observe, kept: Kept) -> None:
    """A message names the producer's span, which says where it went, below the request's."""
    app = serving(lambda: shop.note.delay().id)
    observe(app, integrations.celery(shop.app), tracing={"provider": kept.provider})
    task_id = (await ask(app, headers=CAME)).json()
    sent = shop.sent()
    span, server = kept.one("send shop.note"), kept.one("GET /")
    assert span.context
    assert server.context
    assert span.parent
    assert span.attributes
    assert sent["traceparent"] == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert sent["tracestate"] == "a=1"
    assert (span.kind, span.parent.span_id) == (SpanKind.PRODUCER, server.context.span_id)
    assert dict(span.attributes) == {
        "messaging.system": "memory",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": shop.app.conf.task_default_queue,
        "messaging.message.id": task_id,
        "messaging.message.conversation_id": task_id,
        "celery.task_name": "shop.note",
        "belvedere.request_id": "request-1",
    }


async def test_others_who_trace(shop: Shop, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """While OpenTelemetry's own instrumentation is on there is no second span, and the id goes out all the same."""
    instrumentor = SimpleNamespace(is_instrumented_by_opentelemetry=True)
    monkeypatch.setitem(
        sys.modules,
        "opentelemetry.instrumentation.celery",
        SimpleNamespace(CeleryInstrumentor=lambda: instrumentor),
    )
    app = serving(lambda: shop.note.delay().id)
    observe(app, integrations.celery(shop.app), tracing={"provider": kept.provider})
    await ask(app, headers=CAME)
    sent = shop.sent()
    assert sent["X-Request-ID"] == "request-1"
    assert "traceparent" not in sent  # which is for the instrumentation to write
    assert [span.name for span in kept.spans] == ["GET /"]


def test_our_failures_are_nobodys(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails of ours, before, while and after a task runs, changes neither its result nor its retries."""
    shop.app.conf.task_always_eager = True
    obs = belvedere.observe(FastAPI(), integrations.celery(shop.app))
    try:
        for name in ("count", "tell"):
            with monkeypatch.context() as patch:
                patch.setattr(Figures, name, lambda *_, **__: 1 / 0)
                assert shop.again.delay().get()[1] == 1
                assert shop.fails.delay().state == "FAILURE"
        monkeypatch.setattr("belvedere.integrations._celery.run.received", lambda *_: 1 / 0)
        assert shop.again.delay().get()[1] == 1
        monkeypatch.setattr("belvedere.integrations._celery.tasks.Sending", lambda *_: 1 / 0)
        monkeypatch.setattr("belvedere.integrations._celery.tasks.Run", lambda *_: 1 / 0)
        shop.app.conf.task_always_eager = False
        shop.note.delay()
        assert "X-Request-ID" not in shop.sent()
    finally:
        obs.remove()
    assert failures.counts["celery"] > 0


async def test_another_application_is_left_alone(shop: Shop, observe: Observe, lines: Lines) -> None:
    """Tasks of an application that nobody observes are neither counted nor told of, and keep Celery's own lines."""
    other = Shop(next(_numbers))
    other.app.conf.task_always_eager = True
    app = FastAPI()
    observe(app, integrations.celery(shop.app))
    assert other.note.delay().get() is None
    assert lines("task_processed") == []
    assert await samples(app, "celery_tasks_total") == {}
    other.app.close()


async def test_a_broker_that_says_nothing(observe: Observe) -> None:
    """However often it is asked, one thread waits for it; those who ask at once share the question, and all are told
    within the check's time-out, while the loop goes on."""
    # The system takes connections for it, and nobody ever reads from them.
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    celery = Celery("silent", broker=f"redis://:s3cret@127.0.0.1:{port}/0", set_as_current=False)
    app = FastAPI()
    part = integrations.celery(celery, timeout=3.5)
    observe(app, part)
    assert part._asking is not None
    # Else two seconds on its connection, for which a busy machine may keep the loop waiting as well.
    part._asking._patience = 20.0
    before = set(threading.enumerate())
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            longest = max(longest, time.monotonic() - began)

    watching = asyncio.create_task(watch())
    for _ in range(2):
        began = time.monotonic()
        answers = await asyncio.gather(*(ask(app, path="/detailed") for _ in range(5)))
        assert time.monotonic() - began < 20
        assert {answer.json()["status"] for answer in answers} == {"degraded"}
        begun = [thread.name for thread in threading.enumerate() if thread not in before]
        assert begun.count("belvedere-celery") == 1
    watching.cancel()
    assert longest < 20  # whoever waits for the broker takes forty seconds
    silent.close()
    celery.close()


async def test_what_is_asked_makes_no_spans(shop: Shop, observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instrumentations of the broker's client are told to keep out: each look at the queues would be a trace."""
    told: list[Any] = []
    connect = Celery.connection_for_write

    def connected(*arguments: Any, **named: Any) -> Any:
        told.append(is_instrumentation_enabled())
        return connect(*arguments, **named)

    monkeypatch.setattr(Celery, "connection_for_write", connected)
    app = FastAPI()
    observe(app, integrations.celery(shop.app, critical=True, probes=("ready",), timeout=30))
    await ask(app, path="/readyz")
    assert set(told) == {False}
    assert is_instrumentation_enabled()


async def test_a_broker_that_refuses(observe: Observe, lines: Lines) -> None:
    """It is told at once, with neither URL nor text of an error."""
    celery = Celery("away", broker=f"amqp://user:s3cret@127.0.0.1:{free_port()}//", set_as_current=False)
    app = FastAPI()
    observe(app, integrations.celery(celery, critical=True, probes=("ready", "detailed"), timeout=30))
    began = time.monotonic()
    answer = await ask(app, path="/readyz")
    assert time.monotonic() - began < 20  # less than its time-out
    assert (answer.status, answer.json()["checks"]["celery"]["error"]) == (503, "No Celery workers available")
    (told,) = lines("check_failed")
    assert told["reason"] == "BrokerError"
    assert "s3cret" not in str(told)
    celery.close()


def test_what_it_takes() -> None:
    """Anything but an application of Celery is refused, by name; `current_app` stands for one."""
    with pytest.raises(TypeError, match=r"integrations\.celery: FastAPI is no application of Celery"):
        integrations.celery(FastAPI())
    with pytest.raises(ValueError, match="time-out"):
        integrations.celery(Celery("shop", set_as_current=False), timeout=-1)
