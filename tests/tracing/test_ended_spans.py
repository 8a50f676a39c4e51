"""Spans that have ended: what they say is put together when somebody reads them, and is what it was when they ended."""

from __future__ import annotations

import gc
import json
import threading
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import belvedere
from belvedere import failures
from belvedere.asgi.exchange import HttpExchange
from belvedere.conventions import REDACTED, SpanAttribute
from belvedere.tracing.describe import Describer
from tests.drive import ask
from tests.tracing.conftest import Kept, Observe


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item_id}")
    async def item(item_id: int, tasks: BackgroundTasks) -> int:
        belvedere.bind(user_id=f"user-{item_id}")
        tasks.add_task(belvedere.bind, user_id="somebody else")
        return item_id

    return app


async def served(app: FastAPI, path: str = "/items/7") -> None:
    headers = [(b"host", b"shop.example"), (b"user-agent", b"curl/8"), (b"authorization", b"Bearer s3cret")]
    assert (await ask(app, path=path, query=b"page=2&token=s3cret", headers=headers)).status == 200


SAID = {
    "url.scheme": "http",
    "http.request.method": "GET",
    "network.protocol.version": "1.1",
    "server.address": "shop.example",
    "server.port": 80,
    "user_agent.original": "curl/8",
    "url.path": "/items/7",
    "url.query": f"page=2&token={REDACTED}",
    "client.address": "127.0.0.1",
    SpanAttribute.USER_ID: "user-7",
    "http.route": "/items/{item_id}",
    "http.response.status_code": 200,
}


async def test_it_is_what_it_was_when_it_ended(kept: Kept, observe: Observe) -> None:
    """What is bound after the last byte is not on it, and neither is what somebody sets who still holds the span."""
    observe(app := shop(), tracing={"provider": kept.provider})
    await served(app)
    (span,) = kept.spans
    span.set_attribute("late", 1)  # type: ignore[attr-defined]
    span.update_name("late")  # type: ignore[attr-defined]
    attributes = dict(span.attributes or {})
    assert len(str(attributes.pop(SpanAttribute.REQUEST_ID))) == 36
    assert (span.name, attributes) == ("GET /items/{item_id}", SAID)
    with pytest.raises(TypeError):
        span.attributes["late"] = 1  # type: ignore[index]


async def test_it_is_written_as_the_sdks_are(kept: Kept, observe: Observe) -> None:
    """`to_json`, which exporters to a console or file use, says of it what it says of a span of the SDK's."""
    observe(app := shop(), tracing={"provider": kept.provider})
    await served(app)
    with kept.provider.get_tracer("shop").start_as_current_span("other", kind=SpanKind.SERVER):
        pass
    ours, theirs = (json.loads(span.to_json()) for span in kept.spans)
    assert list(ours) == list(theirs)
    assert ours["attributes"].items() >= SAID.items()
    assert (ours["name"], ours["kind"], ours["status"]) == ("GET /items/{item_id}", theirs["kind"], theirs["status"])
    assert ours["resource"] == theirs["resource"]
    assert (ours["events"], ours["links"], ours["parent_id"]) == ([], [], None)
    assert ours["start_time"] <= ours["end_time"]
    assert ours["context"]["trace_id"] == f"0x{kept.spans[0].context.trace_id:032x}"


async def test_it_holds_nothing_of_its_request(kept: Kept, observe: Observe) -> None:
    """A span that waits to be sent keeps no request alive, and no header but the two that it says."""
    observe(app := shop(), tracing={"provider": kept.provider})
    gc.collect()
    before = sum(issubclass(type(one), HttpExchange) for one in gc.get_objects())
    await served(app)
    gc.collect()
    assert len(kept.spans) == 1
    assert sum(issubclass(type(one), HttpExchange) for one in gc.get_objects()) <= before
    assert "s3cret" not in repr(vars(kept.spans[0])).replace("token=s3cret", "")


class Rewriting(SpanProcessor):
    """Changes ended spans as processors do that have no other way: in what the SDK keeps to itself."""

    def on_end(self, span: Any) -> None:
        span._name = "rewritten"
        span._attributes = {**span._attributes, "url.path": "/***"}


async def test_processors_that_rewrite_it(observe: Observe) -> None:
    """Whoever comes after them reads what they have written."""
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(Rewriting())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observe(app := shop(), tracing={"provider": provider})
    await served(app)
    (span,) = exporter.get_finished_spans()
    assert (span.name, json.loads(span.to_json())["name"]) == ("rewritten", "rewritten")
    assert dict(span.attributes or {}).items() >= {**SAID, "url.path": "/***"}.items()


async def test_threads_that_read_it_at_once(kept: Kept, observe: Observe) -> None:
    """Several exporters, each with its thread, read the same."""
    observe(app := shop(), tracing={"provider": kept.provider})
    for item in range(20):
        await served(app, f"/items/{item}")
    spans, found = kept.spans, []
    barrier = threading.Barrier(4)

    def read() -> None:
        barrier.wait()
        found.append([(span.name, dict(span.attributes or {})) for span in spans])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert [attributes["url.path"] for _, attributes in found[0]] == [f"/items/{item}" for item in range(20)]


async def test_one_that_cannot_be_told(kept: Kept, observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of ours there is counted, and costs this span what it says, not the batch that it is sent in."""
    observe(app := shop(), tracing={"provider": kept.provider})
    await served(app)
    before = failures.counts["tracing"]

    def fails(self: Describer, query: str) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(Describer, "query", fails)
    span: ReadableSpan = kept.spans[0]
    assert (span.name, dict(span.attributes or {})) == ("", {})
    assert failures.counts["tracing"] > before
    failures.counts["tracing"] = before
