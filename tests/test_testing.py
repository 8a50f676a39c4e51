"""`belvedere.testing`: the fixtures with which applications test their own telemetry."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import belvedere
import belvedere.testing
from belvedere import failures
from belvedere.testing import CapturedLogs, CapturedSpans, MetricDeltas

Observe = Callable[..., tuple[FastAPI, TestClient]]
NATIVE_TELEMETRY = hasattr(FastAPI(), "_telemetry")

placed = belvedere.counter("testing_orders_placed", "Orders placed.", ["channel"])
took = belvedere.histogram("testing_order_seconds", "Time to place an order.", buckets=[1, 2])
queue = belvedere.gauge("testing_queue_entries", "Orders that wait.")
direct = prometheus_client.Counter("testing_direct", "Made without Belvedere.", ["kind"])


def shop(**settings: Any) -> FastAPI:
    """An observed application with one route."""
    app = FastAPI(title="Shop")

    @app.get("/orders/{order_id}")
    async def order(order_id: int) -> int:
        belvedere.bind(user_id=7)
        structlog.get_logger("shop").info(
            "order_placed", order_id=order_id, password="hunter2", note="to a@shop.example"
        )
        placed.labels("web").inc(2)
        return order_id

    belvedere.observe(app, settings=belvedere.Settings(**settings))
    return app


@pytest.fixture
def app() -> Iterator[FastAPI]:
    """An application that is observed before the fixtures of Belvedere begin."""
    made = shop()
    yield made
    made.state.belvedere.remove()


def without_what_varies(line: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key not in {"timestamp", "latency_ms", "trace_id"}}


# belvedere_logs


def test_logs_are_what_leaves_the_process(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """A line has its context, is redacted, and comes with the access line; in the order in which they were written."""
    TestClient(app).get("/orders/7", headers={"X-Request-ID": "r1"})
    request = {"service": "shop", "environment": "local", "request_id": "r1", "user_id": 7}
    lines = [without_what_varies(line) for line in belvedere_logs if not line["logger"].startswith("httpx")]
    assert lines == [
        {
            "level": "info",
            "logger": "shop",
            "event": "order_placed",
            **request,
            "order_id": 7,
            "password": "[redacted]",
            "note": "to [redacted]",
        },
        {
            "level": "info",
            "logger": "belvedere.access",
            "event": "request_processed",
            **request,
            "method": "GET",
            "path": "/orders/7",
            "endpoint": "/orders/{order_id}",
            "status": 200,
            "response_bytes": 1,
            "client": "testclient",
        },
    ]
    assert [event for event in belvedere_logs.events if not event.startswith("HTTP")] == [
        "order_placed",
        "request_processed",
    ]


def test_logs_have_their_final_names(belvedere_logs: CapturedLogs) -> None:
    """With renamed keys, the lines have the new names, and events are found all the same."""
    app = shop(logs={"keys": {"event": "message", "order_id": "order"}})
    TestClient(app).get("/orders/7")
    app.state.belvedere.remove()
    line = belvedere_logs.one("order_placed")
    assert (line["message"], line["order"]) == ("order_placed", 7)
    assert "event" not in line


def test_logs_of_an_application_observed_within_the_test(belvedere_logs: CapturedLogs) -> None:
    """It does not matter when the application was observed; what is logged while none is, is not captured."""
    logging.getLogger("shop").error("too early")
    app = shop()
    logging.getLogger("shop").error("in time", extra={"when": {1, 2}})
    app.state.belvedere.remove()
    logging.getLogger("shop").error("too late")
    assert belvedere_logs.events == ["in time"]
    assert belvedere_logs[0]["when"] == [1, 2]


def test_logs_from_other_threads(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """Whichever thread logs is captured."""
    thread = threading.Thread(target=belvedere.get_logger("shop").warning, args=("from_a_thread",))
    thread.start()
    thread.join()
    assert belvedere_logs.one("from_a_thread")["level"] == "warning"


def test_finding_lines(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """Lines are found by event, by fields, or by both."""
    log = belvedere.get_logger("shop")
    log.info("sold", item="tea", extra=None)
    log.info("sold", item="milk", tags=["cold"])
    log.info("bought", item="tea")
    assert [line["item"] for line in belvedere_logs.find("sold")] == ["tea", "milk"]
    assert [line["event"] for line in belvedere_logs.find(item="tea")] == ["sold", "bought"]
    assert belvedere_logs.find("sold", item="milk", tags=["cold"]) == [belvedere_logs[1]]
    assert belvedere_logs.find("bought", extra=None) == []
    assert belvedere_logs.one("bought") is belvedere_logs[2]
    belvedere_logs.clear()
    assert (belvedere_logs, belvedere_logs.events, belvedere_logs.find()) == ([], [], [])


def test_one_line_that_is_not_one(app: FastAPI, belvedere_logs: CapturedLogs) -> None:
    """`one` says how many there are, and lists what was logged."""
    belvedere.get_logger("shop").info("sold", item="tea")
    belvedere.get_logger("shop").info("sold", item="milk")
    listed = "".join(f"\n  {line}" for line in belvedere_logs)
    with pytest.raises(AssertionError) as raised:
        belvedere_logs.one("sold")
    assert str(raised.value) == f"2 lines with 'sold', not one, among{listed}"
    with pytest.raises(AssertionError) as raised:
        belvedere_logs.one("sold", item="eggs")
    assert str(raised.value) == f"0 lines with 'sold', item='eggs', not one, among{listed}"


def test_one_line_where_nothing_was_logged(belvedere_logs: CapturedLogs) -> None:
    """Where nothing is captured, `one` says what may be the reason."""
    with pytest.raises(AssertionError, match="while no application is observed is not captured"):
        belvedere_logs.one("sold")


# belvedere_metrics


def test_metrics_of_requests(app: FastAPI, belvedere_metrics: MetricDeltas) -> None:
    """Requests are counted from the beginning of the test, under the labels that a scrape shows."""
    assert belvedere_metrics("http_requests_total") == 0
    with TestClient(app) as client:
        client.get("/orders/7")
        client.get("/orders/8")
        client.get("/absent")
    assert belvedere_metrics("http_requests_total", method="GET", endpoint="/orders/{order_id}", status="200") == 2
    assert belvedere_metrics("http_requests_total", status=404) == 1
    assert belvedere_metrics("http_requests_total", status=500) == 0
    assert belvedere_metrics("http_requests_total") == 3
    assert belvedere_metrics("http_request_duration_seconds_count", endpoint="/orders/{order_id}") == 2
    assert belvedere_metrics("http_request_duration_seconds_bucket", endpoint="/orders/{order_id}", le="+Inf") == 2
    assert belvedere_metrics("http_response_size_bytes_sum", endpoint="/orders/{order_id}") == 2


def test_metrics_before_the_test_do_not_count(app: FastAPI, request: pytest.FixtureRequest) -> None:
    """What was counted before the fixture began is not in its deltas, but in its values."""
    TestClient(app).get("/orders/7")
    metrics: MetricDeltas = request.getfixturevalue("belvedere_metrics")
    assert metrics("http_requests_total", endpoint="/orders/{order_id}") == 0
    TestClient(app).get("/orders/7")
    assert metrics("http_requests_total", endpoint="/orders/{order_id}") == 1
    assert metrics("testing_orders_placed_total", channel="web") == 2


def test_metrics_of_applications_that_are_gone(belvedere_metrics: MetricDeltas) -> None:
    """What several applications counted is added up, even when they are not there any more."""
    for _ in range(2):
        app = shop()
        TestClient(app).get("/orders/7")
        app.state.belvedere.remove()
        del app
        gc.collect()
    assert belvedere_metrics("http_requests_total", endpoint="/orders/{order_id}") == 2


def test_declared_metrics(belvedere_metrics: MetricDeltas) -> None:
    """Declared metrics and those of prometheus-client are read without any application."""
    placed.labels("web").inc()
    placed.labels("phone").inc(3)
    took.observe(1.5)
    direct.labels("odd").inc()
    assert belvedere_metrics("testing_orders_placed_total") == 4
    assert belvedere_metrics("testing_orders_placed_total", channel="phone") == 3
    assert belvedere_metrics("testing_order_seconds_count") == 1
    assert belvedere_metrics("testing_order_seconds_bucket", le="1.0") == 0
    assert belvedere_metrics("testing_order_seconds_bucket", le="2.0") == 1
    assert belvedere_metrics("testing_direct_total", kind="odd") == 1


def test_gauges(belvedere_metrics: MetricDeltas) -> None:
    """Of a gauge one asks the value; its delta is the difference to the beginning."""
    before = belvedere_metrics.value("testing_queue_entries")
    queue.inc(5)
    assert belvedere_metrics.value("testing_queue_entries") == before + 5
    assert belvedere_metrics("testing_queue_entries") == 5


def test_metrics_of_a_registry_of_ones_own(belvedere_metrics: MetricDeltas) -> None:
    """The registry given to `observe` is read too; a metric there that Belvedere's hides is hidden here."""
    registry = prometheus_client.CollectorRegistry()
    own = prometheus_client.Counter("testing_own", "Of a registry of its own.", registry=registry)
    prometheus_client.Counter("http_requests", "Hidden.", ["path"], registry=registry).labels("/").inc(100)
    prometheus_client.Info("testing_build", "Of an info.", registry=registry).info({"version": "1"})
    observability = belvedere.observe(FastAPI(), registry=registry)
    own.inc()
    assert belvedere_metrics("testing_own_total") == 1
    assert belvedere_metrics("http_requests_total") == 0
    assert belvedere_metrics("testing_build_info", version=1) == 1
    observability.remove()


def test_counters_of_the_process(app: FastAPI, belvedere_metrics: MetricDeltas, belvedere_logs: CapturedLogs) -> None:
    """Failures inside Belvedere, and updates that a bound folded, are counted without a scrape."""
    belvedere.counter("testing_bounded", "Bounded.", ["user"], max_series=1).labels("a").inc()
    belvedere.counter("testing_bounded", "Bounded.", ["user"], max_series=1).labels("b").inc()
    failures.contain("testing", RuntimeError("broken"))
    assert belvedere_metrics("belvedere_internal_errors_total", feature="testing") == 1
    assert belvedere_metrics("belvedere_series_folded_total") == 1


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        (
            "http_request_total",
            {},
            "no metric is called http_request_total; there is http_requests_total, http_exceptions_total, "
            "http_request_size_bytes_count, http_requests_in_progress, http_request_size_bytes_bucket",
        ),
        (
            "testing_orders_placed",
            {},
            "no metric is called testing_orders_placed; there is testing_orders_placed_total",
        ),
        (
            "testing_order_seconds",
            {},
            "no metric is called testing_order_seconds; there is testing_order_seconds_bucket, "
            "testing_order_seconds_count, testing_order_seconds_sum",
        ),
        (
            "http_requests_total",
            {"path": "/", "method": "GET"},
            "http_requests_total has no label path; it has endpoint, method, status",
        ),
        ("testing_orders_placed_total", {"way": "web"}, "testing_orders_placed_total has no label way; it has channel"),
    ],
)
def test_an_unknown_metric_or_label(
    app: FastAPI, belvedere_metrics: MetricDeltas, name: str, labels: dict[str, str], message: str
) -> None:
    """A name that no metric has raises, naming those that are near; so does a label."""
    with pytest.raises(LookupError) as raised:
        belvedere_metrics(name, **labels)
    assert raised.value.args == (message,)
    with pytest.raises(LookupError):
        belvedere_metrics.value(name, **labels)


def test_an_unknown_metric_like_no_other(belvedere_metrics: MetricDeltas) -> None:
    """Where no name is near, it is said so."""
    with pytest.raises(
        LookupError, match=r"^no metric is called zzz; none of the \d+ that there are is called like it$"
    ):
        belvedere_metrics("zzz")


# belvedere_spans


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


# The plugin


def run_pytest(folder: Path, source: str, *arguments: str) -> str:
    """Run pytest in a process of its own on one file, and return what it printed."""
    (folder / "test_application.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def test_the_plugin_is_there_once_belvedere_is_installed(tmp_path: Path) -> None:
    """The fixtures need no configuration; what a test logs is printed once, as without them."""
    printed = run_pytest(
        tmp_path,
        """
        import belvedere
        from fastapi import FastAPI

        belvedere.observe(FastAPI(), settings=belvedere.Settings(logs={"format": "json"}))

        def test_logs(belvedere_logs, belvedere_metrics):
            belvedere.get_logger("shop").info("printed_once")
            assert belvedere_logs.events == ["printed_once"]
        """,
        "-s",
    )
    assert printed.count("printed_once") == 1
    assert "1 passed" in printed


def test_each_fixture_is_explained(tmp_path: Path) -> None:
    """`pytest --fixtures` shows what each one is for."""
    printed = run_pytest(tmp_path, "", "--fixtures")
    for name, explained in {
        "belvedere_logs": "The log lines of this test, as they leave the process; they are written as ever, too.",
        "belvedere_metrics": "What metrics have gained since this test began: those of requests, declared ones, and",
        "belvedere_spans": "The OpenTelemetry spans that ended in this test; skips it where the SDK is not installed.",
    }.items():
        before, _, after = printed.partition(f"{name} -- ")
        assert before != printed
        assert after.splitlines()[1].strip().startswith(explained)


def test_the_plugin_can_be_left_out(tmp_path: Path) -> None:
    """`-p no:belvedere` leaves the fixtures out."""
    printed = run_pytest(tmp_path, "def test_logs(belvedere_logs): ...", "-p", "no:belvedere")
    assert "fixture 'belvedere_logs' not found" in printed


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
