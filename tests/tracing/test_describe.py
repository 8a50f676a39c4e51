"""What the server span says: of the request, of its end, and of what was raised in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from belvedere import failures
from tests.drive import Exchange, ask
from tests.tracing.conftest import Kept, Lines, Observe, hexes
from tests.tracing.shop import shop


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


async def test_unknown_methods_have_one_name(kept: Kept, observe: Observe) -> None:
    """A method nobody knows is `_OTHER`, its own name beside it."""
    app = shop()
    observe(app, tracing={"provider": kept.provider})
    await ask(app, "BREW", "/items/1")
    span = kept.one("HTTP /items/{item_id}")
    attributes = span.attributes or {}
    assert (attributes["http.request.method"], attributes["http.request.method_original"]) == ("_OTHER", "BREW")


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
    assert "test_describe.py" in str(told["exception.stacktrace"])
    assert "hunter2" not in str(told)


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


class Mute(Exception):  # noqa: N818 - a test's
    def __str__(self) -> str:
        raise ValueError("no text")


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
