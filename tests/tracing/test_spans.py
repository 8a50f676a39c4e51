"""Which requests have a server span, what is below it, and what an application can do with it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

import belvedere
from tests.drive import Exchange, Socket, ask
from tests.tracing.conftest import Kept, Lines, Observe, hexes, keeping
from tests.tracing.shop import shop


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
