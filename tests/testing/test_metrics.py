"""`belvedere_metrics`: what metrics have gained since the test began."""

from __future__ import annotations

import gc

import prometheus_client
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import belvedere
from belvedere import failures
from belvedere.testing import CapturedLogs, MetricDeltas
from tests.testing.conftest import placed, shop

took = belvedere.histogram("testing_order_seconds", "Time to place an order.", buckets=[1, 2])
queue = belvedere.gauge("testing_queue_entries", "Orders that wait.")
direct = prometheus_client.Counter("testing_direct", "Made without Belvedere.", ["kind"])


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
