"""Trace context and baggage, in and out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from tests.drive import ask
from tests.tracing.conftest import Kept, Observe

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
Headers = list[tuple[bytes, bytes]]


def echo() -> FastAPI:
    """Answers with what would go to the next service."""
    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, Any]:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return {"carrier": carrier, "baggage": dict(baggage.get_all())}

    return app


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
async def test_trace_context_in_and_out(flags: str, kept: Kept, observe: Observe) -> None:
    """The caller's trace goes on, its span being the parent, and its flags go out again."""
    app = echo()
    observe(app, tracing={"provider": kept.provider})
    answer = await ask(app, headers=[(b"traceparent", f"00-{TRACE}-{PARENT}-{flags}".encode())])
    version, trace_id, span_id, out = answer.json()["carrier"]["traceparent"].split("-")
    assert (version, trace_id, out) == ("00", TRACE, flags)
    assert span_id != PARENT
    if flags in {"01", "03"}:
        span = kept.one("GET /")
        assert span.context is not None
        assert span.parent is not None
        assert (f"{span.context.span_id:016x}", f"{span.parent.span_id:016x}") == (span_id, PARENT)
        assert span.parent.is_remote
    else:
        assert kept.spans == []


async def test_state_and_baggage_in_and_out(kept: Kept, observe: Observe) -> None:
    """`tracestate` and `baggage` pass through, several headers of either as one."""
    app = echo()
    observe(app, tracing={"provider": kept.provider})
    headers = [
        (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()),
        (b"tracestate", b"vendor=1"),
        (b"tracestate", b"other=2"),
        (b"baggage", b"tenant=acme,tier=gold"),
        (b"baggage", b"region=eu"),
    ]
    answer = (await ask(app, headers=headers)).json()
    assert answer["baggage"] == {"tenant": "acme", "tier": "gold", "region": "eu"}
    assert answer["carrier"]["tracestate"] == "vendor=1,other=2"
    assert set(answer["carrier"]["baggage"].split(",")) == {"tenant=acme", "tier=gold", "region=eu"}
    span = kept.one("GET /")
    assert span.context is not None
    assert dict(span.context.trace_state) == {"vendor": "1", "other": "2"}
    assert answer["carrier"]["traceparent"].startswith(f"00-{TRACE}-{span.context.span_id:016x}-")


async def test_baggage_alone(kept: Kept, observe: Observe) -> None:
    """Without a trace of the caller's, baggage comes with a trace that begins here, with our id."""
    app = echo()
    observe(app, tracing={"provider": kept.provider})
    answer = await ask(app, headers=[(b"baggage", b"tenant=acme")])
    assert answer.json()["baggage"] == {"tenant": "acme"}
    assert answer.json()["carrier"]["traceparent"].split("-")[1] == answer.id.replace("-", "")
    assert kept.one("GET /").parent is None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"traceparent", b"00-nothing-of-the-kind-01")],
        [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())] * 2,
        [(b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())] * 2 + [(b"tracestate", b"a=b")],
        [(b"traceparent", f"00-{'0' * 32}-{PARENT}-01".encode()), (b"tracestate", b"a=b")],
        [(b"tracestate", b"\xff\xfe"), (b"baggage", b"\xff=\xff;;,,")],
    ],
    ids=["malformed", "two", "two with state", "zeros", "no text"],
)
async def test_what_is_no_context_begins_a_trace(headers: Headers, kept: Kept, observe: Observe) -> None:
    """Nothing a caller sends breaks a request, and a trace that cannot be gone on with begins here."""
    app = echo()
    observe(app, tracing={"provider": kept.provider})
    answer = await ask(app, headers=headers)
    assert answer.status == 200
    span = kept.one("GET /")
    assert span.parent is None
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == answer.id.replace("-", "")


class Other(TextMapPropagator):
    """A propagator of somebody's own: one header with two numbers."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        found = getter.get(carrier, "x-trace")
        context = Context() if context is None else context
        if not found:
            return context
        trace_id, span_id = (int(part, 16) for part in found[0].split("/"))
        parent = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(1))
        return trace.set_span_in_context(NonRecordingSpan(parent), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        span = trace.get_current_span(context).get_span_context()
        setter.set(carrier, "x-trace", f"{span.trace_id:x}/{span.span_id:x}")

    @property
    def fields(self) -> set[str]:
        return {"x-trace"}


@pytest.fixture
def other_propagator() -> Iterator[None]:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Other())
    yield
    propagate.set_global_textmap(before)


@pytest.mark.usefixtures("other_propagator")
async def test_another_propagator(kept: Kept, observe: Observe) -> None:
    """What `OTEL_PROPAGATORS` or the application chose is used, and `traceparent` then says nothing."""
    app = echo()
    observe(app, tracing={"provider": kept.provider})
    ignored = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    await ask(app, headers=[(b"x-trace", b"abc/def"), ignored])
    await ask(app, headers=[ignored])
    below, alone = kept.spans
    assert below.context is not None
    assert below.parent is not None
    assert (below.context.trace_id, below.parent.span_id) == (0xABC, 0xDEF)
    assert alone.parent is None
    assert alone.context is not None
    assert f"{alone.context.trace_id:032x}" != TRACE
