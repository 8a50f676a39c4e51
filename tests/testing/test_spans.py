"""`belvedere_spans`: the spans that ended in a test, whoever's provider they come from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import belvedere.testing
from belvedere.testing import CapturedLogs, CapturedSpans
from tests.testing.inner import run_pytest

NATIVE_TELEMETRY = hasattr(FastAPI(), "_telemetry")


def test_spans(belvedere_spans: CapturedSpans) -> None:
    """Spans are captured as they end, whoever makes them, and found by name and attributes."""
    tracer = trace.get_tracer("shop")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner", attributes={"shop.item": "tea"}):
        pass
    with tracer.start_as_current_span("inner", attributes={"shop.item": "milk", "shop.tags": ["cold"]}):
        pass
    assert belvedere_spans.names == ["inner", "outer", "inner"]
    tea = belvedere_spans.one("inner", shop_item="tea")
    outer = belvedere_spans.one("outer")
    assert tea is belvedere_spans[0]
    assert tea.parent == outer.get_span_context()
    assert (
        belvedere_spans.find(**{"shop.item": "milk"})
        == belvedere_spans.find(shop_tags=("cold",))
        == belvedere_spans[2:]
    )
    with pytest.raises(AssertionError) as raised:
        belvedere_spans.one("inner")
    assert str(raised.value) == (
        "2 spans with 'inner', not one, among\n"
        "  inner {'shop.item': 'tea'}\n  outer {}\n  inner {'shop.item': 'milk', 'shop.tags': ('cold',)}"
    )


@pytest.mark.skipif(not NATIVE_TELEMETRY, reason="this FastAPI makes no spans")
def test_spans_of_fastapi(app: FastAPI, belvedere_spans: CapturedSpans, belvedere_logs: CapturedLogs) -> None:
    """FastAPI's own server span is captured, and has the ids that the log lines show."""
    TestClient(app).get("/orders/7")
    span = belvedere_spans.one("GET /orders/{order_id}", http_response_status_code=200)
    context = span.get_span_context()
    assert context is not None
    line = belvedere_logs.one("order_placed")
    assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")


def test_spans_of_another_provider(belvedere_spans: CapturedSpans) -> None:
    """A provider that is not the global one can be watched; it exports as ever, and what it drops is not captured."""
    exporter = InMemorySpanExporter()
    provider, dropping = TracerProvider(shutdown_on_exit=False), TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for watched in (provider, dropping, provider):
        belvedere_spans.watch(watched)
        watched.get_tracer("shop").start_span("sale").end()
    assert belvedere_spans.names == ["sale", "sale"]
    assert [span.name for span in exporter.get_finished_spans()] == ["sale", "sale"]
    with pytest.raises(TypeError) as raised:
        belvedere_spans.watch(trace.NoOpTracerProvider())
    assert str(raised.value) == (
        "NoOpTracerProvider takes no span processors: belvedere_spans needs a TracerProvider of the OpenTelemetry SDK"
    )


def without(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what `belvedere_spans` is made of fail to import `module`."""
    monkeypatch.delattr(belvedere.testing, "_tracing", raising=False)
    monkeypatch.delitem(sys.modules, "belvedere.testing._tracing", raising=False)
    monkeypatch.setitem(sys.modules, module, None)


def test_spans_without_the_sdk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK, a test that asks for spans is skipped, and told what to install."""
    without("opentelemetry.sdk.resources", monkeypatch)
    with pytest.raises(pytest.skip.Exception) as skipped:
        request.getfixturevalue("belvedere_spans")
    assert skipped.value.msg == "belvedere_spans needs the OpenTelemetry SDK: pip install belvedere[otel]"


def test_what_else_is_missing_is_not_hidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another failure to import is an error, not a skip."""
    without("belvedere.testing._tracing", monkeypatch)
    with pytest.raises(ModuleNotFoundError):
        request.getfixturevalue("belvedere_spans")


def test_spans_of_the_applications_own_provider(tmp_path: Path) -> None:
    """A global provider that was set before is kept, test for test, and is still there afterwards."""
    printed = run_pytest(
        tmp_path,
        """
        import pytest
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        provider = TracerProvider()
        trace.set_tracer_provider(provider)

        @pytest.mark.parametrize("name", ["first", "second"])
        def test_spans(belvedere_spans, name):
            with trace.get_tracer("shop").start_as_current_span(name):
                pass
            assert belvedere_spans.names == [name]

        def test_afterwards():
            assert trace.get_tracer_provider() is provider
        """,
    )
    assert "3 passed" in printed


def test_spans_between_tests(tmp_path: Path) -> None:
    """The provider that a test gets is gone after it: an application may set its own, and tracers that it kept go on.

    A tracer that a module made before is captured in each test, even if one of them shuts the provider down.
    """
    printed = run_pytest(
        tmp_path,
        """
        import pytest
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        tracer = trace.get_tracer("shop")
        proxy = trace.get_tracer_provider()

        @pytest.mark.parametrize("name", ["first", "second"])
        def test_spans(belvedere_spans, name):
            with tracer.start_as_current_span(name):
                pass
            assert belvedere_spans.names == [name]
            trace.get_tracer_provider().shutdown()

        def test_no_spans():
            assert trace.get_tracer_provider() is proxy
            with tracer.start_as_current_span("of nobody"):
                pass
            provider = TracerProvider()
            trace.set_tracer_provider(provider)
            assert trace.get_tracer_provider() is provider

        def test_both(belvedere_spans):
            with tracer.start_as_current_span("kept"), trace.get_tracer("shop").start_as_current_span("new"):
                pass
            assert belvedere_spans.names == ["new", "kept"]
        """,
    )
    assert "4 passed" in printed
