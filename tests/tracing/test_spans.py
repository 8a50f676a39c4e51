"""The server span: what it says, what is below it, and what an application can do with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException, WebSocket
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

import belvedere
from belvedere import failures
from tests.drive import Exchange, Socket, ask
from tests.tracing.conftest import Kept, Lines, Observe, hexes, keeping


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int) -> int:
        belvedere.bind(user_id=f"user-{item_id}")
        with trace.get_tracer("shop").start_as_current_span("look"):
            await asyncio.sleep(0)
        return 10 // item_id

    @app.get("/thread")
    def thread(tasks: BackgroundTasks) -> str:
        with trace.get_tracer("shop").start_as_current_span("in thread"):
            tasks.add_task(later)
            return "done"

    def later() -> None:
        with trace.get_tracer("shop").start_as_current_span("later"):
            pass

    @app.get("/busy")
    async def busy() -> int:
        raise HTTPException(503)

    @app.websocket("/rooms/{room}")
    async def rooms(socket: WebSocket, room: str) -> None:
        if room == "closed":
            return await socket.close()
        await socket.accept()
        with trace.get_tracer("shop").start_as_current_span("talk"):
            await socket.receive_text()
        return None

    return app


async def test_what_a_span_says(kept: Kept, observe: Observe, lines: Lines) -> None:
    """Method, route, address, client, status, request id and user are on it, by the names of the stable conventions."""
    app = shop()
    observe(app, tracing={"provider": kept.provider}, requests={"trusted_proxies": ["10.0.0.0/8"]})
    headers = [
        (b"host", b"api.example:8443"),
        (b"user-agent", b"curl/8.1"),
        (b"x-forwarded-for", b"203.0.113.9"),
        (b"x-forwarded-proto", b"https"),
    ]
    query = b"page=2&token=abc&X-Amz-Signature=def&q=a%20b"
    answer = await ask(app, path="/items/7", query=query, headers=headers, client=("10.0.0.1", 5))
    span = kept.one("GET /items/{item_id}")
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/items/{item_id}",
        "http.response.status_code": 200,
        "url.scheme": "https",
        "url.path": "/items/7",
        "url.query": "page=2&token=[redacted]&X-Amz-Signature=[redacted]&q=a%20b",
        "server.address": "api.example",
        "server.port": 8443,
        "client.address": "203.0.113.9",
        "network.protocol.version": "1.1",
        "user_agent.original": "curl/8.1",
        "belvedere.request_id": answer.id,
        "user.id": "user-7",
    }
    assert (span.kind, span.status.status_code, span.parent) == (SpanKind.SERVER, StatusCode.UNSET, None)
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 10_000_000_000
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "belvedere"
    (line,) = lines("request_processed")
    assert (line["trace_id"], line["span_id"]) == hexes(span)
    assert line["trace_id"] == answer.id.replace("-", "")


async def test_children_are_below_it(kept: Kept, observe: Observe, lines: Lines) -> None:
    """Spans of the application, in tasks, worker threads and background tasks, belong to the request's."""
    app = shop()
    observe(app, tracing={"provider": kept.provider})
    await ask(app, path="/items/1")
    await ask(app, path="/thread")
    for server, children in (("GET /items/{item_id}", ["look"]), ("GET /thread", ["in thread", "later"])):
        own = kept.one(server).context
        for child in children:
            assert kept.one(child).parent == own, child
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_how_a_request_ended(kept: Kept, observe: Observe) -> None:
    """Only failures of the server are errors; an exception is an event on the span, without what it must not tell."""
    app = shop()

    @app.get("/secret")
    async def secret() -> None:
        raise RuntimeError("no connection to postgresql://shop:hunter2@db/shop")

    observe(app, tracing={"provider": kept.provider})
    for path in ("/items/x", "/nowhere", "/busy", "/items/0", "/secret"):
        await ask(app, path=path)
    found = [span for span in kept.spans if span.kind is SpanKind.SERVER]
    assert [
        (
            span.name,
            span.status.status_code.name,
            (span.attributes or {})["http.response.status_code"],
            (span.attributes or {}).get("error.type"),
            [event.name for event in span.events],
        )
        for span in found
    ] == [
        ("GET /items/{item_id}", "UNSET", 422, None, []),
        ("GET", "UNSET", 404, None, []),
        ("GET /busy", "ERROR", 503, "503", []),
        ("GET /items/{item_id}", "ERROR", 500, "ZeroDivisionError", ["exception"]),
        ("GET /secret", "ERROR", 500, "RuntimeError", ["exception"]),
    ]
    told = dict(found[-1].events[0].attributes or {})
    assert told["exception.type"] == "RuntimeError"
    assert "test_spans.py" in str(told["exception.stacktrace"])
    assert "hunter2" not in str(told)


class Mute(Exception):  # noqa: N818 - a test's
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("foreign", [False, True])
async def test_an_exception_that_has_no_text(foreign: bool, kept: Kept, observe: Observe) -> None:
    """Its span ends, is an error, and has an event, if its maker can make one of such an exception."""
    app = FastAPI()

    @app.get("/")
    async def fails() -> None:
        raise Mute

    obs = observe(app, tracing={"provider": Wrapper(kept) if foreign else kept.provider})
    await ask(app)
    (span,) = kept.spans
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (
        StatusCode.ERROR,
        f"{__name__}.Mute",
    )
    if not foreign:
        (event,) = span.events
        assert (event.attributes or {})["exception.message"] == ""
        assert "<exception str() failed>" in str((event.attributes or {})["exception.stacktrace"])
    else:
        failures.counts.clear()  # that the event could not be made is counted
    obs.remove()


async def test_an_exception_of_ten_megabytes(kept: Kept, observe: Observe) -> None:
    """Its event is bounded, as a collector takes no more than 4 MiB at a time, and can be encoded whatever it holds."""
    app = FastAPI()

    @app.get("/")
    async def fails() -> None:
        raise RuntimeError("\ud800 begins " + "x" * 10_000_000 + " password=hunter2 ends")

    observe(app, tracing={"provider": kept.provider})
    await ask(app)
    (span,) = kept.spans
    shown = {key: str(value) for key, value in (span.events[0].attributes or {}).items()}
    for key in ("exception.message", "exception.stacktrace"):
        assert len(shown[key].encode()) < 100_000
        assert shown[key].rstrip().endswith("ends")
        assert "hunter2" not in shown[key]
    assert shown["exception.message"].startswith("\\ud800 begins xxx")


async def test_a_client_that_left_is_no_error(kept: Kept, observe: Observe) -> None:
    """499 is nobody's failure."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    observe(app, tracing={"provider": kept.provider})
    exchange = Exchange(app, path="/slow")
    task = exchange.start()
    await asyncio.sleep(0.01)
    task.cancel()
    await task
    span = kept.one("GET /slow")
    assert (span.attributes or {})["http.response.status_code"] == 499
    assert span.status.status_code is StatusCode.UNSET


async def test_unknown_methods_have_one_name(kept: Kept, observe: Observe) -> None:
    """A method nobody knows is `_OTHER`, its own name beside it."""
    app = shop()
    observe(app, tracing={"provider": kept.provider})
    await ask(app, "BREW", "/items/1")
    span = kept.one("HTTP /items/{item_id}")
    attributes = span.attributes or {}
    assert (attributes["http.request.method"], attributes["http.request.method_original"]) == ("_OTHER", "BREW")


async def test_websockets(kept: Kept, observe: Observe, lines: Lines) -> None:
    """A connection has one span from its handshake to its end, accepted or not, with what it does below it."""
    app = shop()
    observe(app, tracing={"provider": kept.provider})
    socket = Socket(app, "/rooms/open")
    socket.say("hello")
    await socket.run()
    await Socket(app, "/rooms/closed").run()
    opened, refused = [span for span in kept.spans if span.name == "WS /rooms/{room}"]
    assert kept.one("talk").parent == opened.context
    assert [(span.attributes or {})["http.response.status_code"] for span in (opened, refused)] == [101, 403]
    assert (opened.attributes or {})["network.protocol.name"] == "websocket"
    assert [(line["trace_id"], line["span_id"]) for line in lines("request_processed")] == [
        hexes(opened),
        hexes(refused),
    ]
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_what_an_application_does_with_its_span(kept: Kept, observe: Observe) -> None:
    """Name, attributes, events, links, exceptions and status that it gives are kept, and win over ours."""
    app = FastAPI()
    other = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    seen: dict[str, Any] = {}

    @app.get("/orders")
    async def orders() -> None:
        span: Any = trace.get_current_span()
        seen.update(name=span.name, recording=span.is_recording(), path=span.attributes["url.path"], kind=span.kind)
        span.update_name("place order")
        span.set_attribute("http.route", "mine")
        span.set_attributes({"shop.items": ["tea", "milk"], "shop.total": 7})
        span.add_event("paid", {"amount": 7})
        span.add_link(other, {"why": "retry"})
        span.set_status(StatusCode.OK)
        span.set_status(StatusCode.ERROR, "too late")
        span.record_exception(ValueError("no such coin"))
        raise HTTPException(500)

    observe(app, tracing={"provider": kept.provider})
    await ask(app, path="/orders")
    span = kept.one("place order")
    assert seen == {"name": "GET /orders", "recording": True, "path": "/orders", "kind": SpanKind.SERVER}
    attributes = span.attributes or {}
    assert (attributes["http.route"], attributes["shop.items"], attributes["shop.total"]) == (
        "mine",
        ("tea", "milk"),
        7,
    )
    assert attributes["http.response.status_code"] == 500
    assert [(event.name, dict(event.attributes or {}).get("amount")) for event in span.events] == [
        ("paid", 7),
        ("exception", None),
    ]
    assert [(link.context, dict(link.attributes or {})) for link in span.links] == [(other, {"why": "retry"})]
    assert span.status.status_code is StatusCode.OK
    assert span.to_json()


async def test_limits(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SPAN_*` bound what a span holds, ours too; what is dropped is told."""
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "4")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5")
    kept = keeping(span_limits=SpanLimits())
    app = FastAPI()

    @app.get("/orders")
    async def orders() -> None:
        for number in range(5):
            trace.get_current_span().add_event(f"event {number}")

    observe(app, tracing={"provider": kept.provider})
    await ask(app, path="/orders")
    span = kept.one("GET /orders")
    assert ([event.name for event in span.events], span.dropped_events) == (["event 3", "event 4"], 3)
    assert len(span.attributes or {}) == 4
    assert span.dropped_attributes > 0
    assert all(len(value) <= 5 for value in (span.attributes or {}).values() if isinstance(value, str))


class Wrapper(trace.TracerProvider):
    """A provider that is none of the SDK's, as vendors have them."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def get_tracer(self, *arguments: Any, **named: Any) -> trace.Tracer:
        return WrappedTracer(self._kept.provider.get_tracer(*arguments, **named))


class WrappedTracer(trace.Tracer):
    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def start_span(self, *arguments: Any, **named: Any) -> trace.Span:
        return self._tracer.start_span(*arguments, **named)

    def start_as_current_span(self, *arguments: Any, **named: Any) -> Any:
        return self._tracer.start_as_current_span(*arguments, **named)


async def test_a_provider_that_is_not_the_sdks(kept: Kept, observe: Observe, lines: Lines) -> None:
    """Its tracer makes the spans: ids are its own, what they say is the same."""
    app = shop()
    observe(app, tracing={"provider": Wrapper(kept), "exclude": ["/thread"]})
    parent = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    answers = [await ask(app, path="/items/1", headers=[parent]), await ask(app, path="/items/0")]
    await ask(app, path="/thread")
    below, failed = [span for span in kept.spans if span.kind is SpanKind.SERVER]
    assert (below.name, (below.attributes or {})["http.response.status_code"]) == ("GET /items/{item_id}", 200)
    assert [(span.attributes or {})["belvedere.request_id"] for span in (below, failed)] == [one.id for one in answers]
    assert below.parent is not None
    assert f"{below.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert (failed.status.status_code, [event.name for event in failed.events]) == (StatusCode.ERROR, ["exception"])
    found = lines("request_processed")
    assert [(line["trace_id"], line["span_id"]) for line in found[:2]] == [hexes(below), hexes(failed)]
    assert [span.name for span in kept.spans].count("look") == 2
    assert "in thread" not in [span.name for span in kept.spans]


class Noting(SpanProcessor):
    """Looks at spans that begin, and adds to them then and before they end."""

    def __init__(self) -> None:
        self.began: list[tuple[str, Any]] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.began.append((span.name, dict(span.attributes)))
        span.set_attribute("noted", "at start")

    def _on_ending(self, span: Any) -> None:
        self.ending = span.attributes["noted"]

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


async def test_processors_of_the_applications_own(observe: Observe) -> None:
    """They are told when a span begins, with what is known of it, and what they add is kept."""
    noting = Noting()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(noting)
    app = FastAPI()
    app.get("/orders")(lambda: None)
    observe(app, tracing={"provider": provider})
    await ask(app, path="/orders")
    ((name, attributes),) = noting.began
    assert (name, attributes["url.path"], attributes["http.request.method"]) == ("GET", "/orders", "GET")
    (span,) = noting.ended
    assert ((span.attributes or {})["noted"], noting.ending, span.name) == ("at start", "at start", "GET /orders")


async def test_what_is_excluded_has_no_span_nor_children(kept: Kept, observe: Observe, lines: Lines) -> None:
    """Probes, what `requests.exclude` and what `tracing.exclude` name; the latter has its line, with ids."""
    app = shop()
    observe(app, tracing={"provider": kept.provider, "exclude": ["/items/*", "/thread"]})
    for path in ("/healthz", "/items/1", "/thread"):
        assert (await ask(app, path=path)).status == 200
    assert kept.spans == []
    access = lines("request_processed")
    assert [line["path"] for line in access] == ["/items/1", "/thread"]
    assert all(len(line["span_id"]) == 16 for line in access)


async def test_checks_make_no_spans(kept: Kept, observe: Observe) -> None:
    """What a check asks belongs to no request, and begins no trace: sync and async, for a probe or between probes."""
    app = FastAPI()
    asked: list[bool] = []

    def ping() -> None:
        with trace.get_tracer("shop").start_as_current_span("ping"):
            asked.append(is_instrumentation_enabled())

    async def ping_async() -> None:
        ping()

    checks = [belvedere.Check("sync", ping), belvedere.Check("async", ping_async)]
    observe(app, *checks, tracing={"provider": kept.provider}, health={"cache": 0})
    assert (await ask(app, path="/readyz")).status == 200
    assert asked == [False, False]
    assert kept.spans == []
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_a_request_inside_a_request(kept: Kept, observe: Observe) -> None:
    """An application asked within a request of another has a span below the other's; afterwards that is current."""
    inner, outer = shop(), FastAPI()

    @outer.get("/outer")
    async def ask_inner() -> bool:
        before = trace.get_current_span()
        await Exchange(inner, path="/items/1").serve()
        return trace.get_current_span() is before

    observe(inner, tracing={"provider": kept.provider})
    observe(outer, tracing={"provider": kept.provider})
    assert (await ask(outer, path="/outer")).json() is True
    assert kept.one("GET /items/{item_id}").parent == kept.one("GET /outer").context
