"""Whose metrics a scrape shows: those of other people's collectors and registries, and of several applications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import prometheus_client
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import (
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
    UntypedMetricFamily,
)
from prometheus_client.samples import Timestamp

import belvedere
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import BOTH, scrape


class Custom:
    """A custom collector with one metric of each kind that prometheus-client's own classes cannot make."""

    def collect(self) -> Iterator[Metric]:
        yield UntypedMetricFamily("c_untyped", "Untyped.", value=1)
        summary = SummaryMetricFamily("c_summary", "Summary.", labels=["a"])
        summary.add_metric(["b"], count_value=2, sum_value=3.5)
        yield summary
        gauge = GaugeMetricFamily("c_gauge", "With a time.")
        gauge.add_metric([], 7, timestamp=Timestamp(1_700_000_000, 250_000_000))
        yield gauge
        yield GaugeHistogramMetricFamily("c_sizes", "Sizes.", buckets=[("1.0", 1), ("+Inf", 3)], gsum_value=9)
        odd = Metric("c_odd", "Labels and values that are no text and no float.", "gauge")
        odd.add_sample("c_odd", {"number": 5}, 4)  # type: ignore[dict-item]
        yield odd


@BOTH
async def test_metrics_made_with_prometheus_client_are_served(accept: bytes | None, app: FastAPI) -> None:
    """Every class of prometheus-client and any custom collector in its registry, with types and values."""
    prometheus_client.Counter("d_counter", "Counter.", ["a"]).labels("b").inc(2, exemplar={"trace_id": "abc"})
    prometheus_client.Gauge("d_gauge", "Gauge.").set(1.5)
    prometheus_client.Histogram("d_histogram", "Histogram.", buckets=[1]).observe(2)
    prometheus_client.Summary("d_summary", "Summary.").observe(2)
    prometheus_client.Info("d_build", "Info.").info({"version": "1.2"})
    prometheus_client.Enum("d_state", "Enum.", states=["up", "down"]).state("down")
    REGISTRY.register(Custom())

    found = await scrape(app, accept=accept)
    assert {text: value for text, value in found.samples().items() if text.startswith(("d_", "c_"))} == {
        'd_counter_total{a="b"}': 2.0,
        "d_gauge": 1.5,
        'd_histogram_bucket{le="1.0"}': 0.0,
        'd_histogram_bucket{le="+Inf"}': 1.0,
        "d_histogram_count": 1.0,
        "d_histogram_sum": 2.0,
        "d_summary_count": 1.0,
        "d_summary_sum": 2.0,
        'd_build_info{version="1.2"}': 1.0,
        'd_state{d_state="up"}': 0.0,
        'd_state{d_state="down"}': 1.0,
        "c_untyped": 1.0,
        'c_summary_count{a="b"}': 2.0,
        'c_summary_sum{a="b"}': 3.5,
        "c_gauge": 7.0,
        'c_sizes_bucket{le="1.0"}': 1.0,
        'c_sizes_bucket{le="+Inf"}': 3.0,
        "c_sizes_gcount": 3.0,
        "c_sizes_gsum": 9.0,
        'c_odd{number="5"}': 4.0,
    }
    if accept:
        assert found.types("d_") | found.types("c_") == {
            "d_counter": "counter",
            "d_gauge": "gauge",
            "d_histogram": "histogram",
            "d_summary": "summary",
            "d_build": "info",
            "d_state": "stateset",
            "c_untyped": "unknown",
            "c_summary": "summary",
            "c_gauge": "gauge",
            "c_sizes": "gaugehistogram",
            "c_odd": "gauge",
        }
        assert '# {trace_id="abc"} 2.0' in found.text
        assert "c_gauge 7.0 1700000000.25\n" in found.text
    else:
        assert found.types("d_") | found.types("c_") == {
            "d_counter_total": "counter",
            "d_gauge": "gauge",
            "d_histogram": "histogram",
            "d_summary": "summary",
            "d_build_info": "gauge",
            "d_state": "gauge",
            "c_untyped": "untyped",
            "c_summary": "summary",
            "c_gauge": "gauge",
            "c_sizes": "histogram",
            "c_odd": "gauge",
        }
        assert "c_gauge 7.0 1700000000250\n" in found.text


@BOTH
async def test_names_that_only_unicode_knows_are_written_for_every_reader(accept: bytes | None, app: FastAPI) -> None:
    """prometheus-client lets metrics and labels be called anything; `_` takes the place of what readers refuse."""

    class Odd:
        def collect(self) -> Iterator[Metric]:
            metric = Metric("plain", "Plain.", "gauge")
            metric.name = "shop.größe"
            metric.add_sample("shop.größe", {"ein.label": "x", "1st": "y"}, 3)
            yield metric

    REGISTRY.register(Odd())
    assert (await scrape(app, accept=accept)).samples("shop_gr__e") == {'shop_gr__e{_st="y",ein_label="x"}': 3.0}


@BOTH
async def test_a_collector_that_fails_takes_nobody_elses_metrics_along(accept: bytes | None, app: FastAPI) -> None:
    """The others are served, complete and once, and the failure is counted from the next scrape on."""

    class Broken:
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> Iterator[Metric]:
            yield GaugeMetricFamily("before", "Before.", value=1)
            raise LookupError("row 7")

    class Unwritable:
        def describe(self) -> list[Metric]:
            return []

        def collect(self) -> Iterator[Metric]:
            metric = Metric("unwritable", "No number.", "gauge")
            metric.add_sample("unwritable", {}, "x")  # type: ignore[arg-type]
            yield metric

    prometheus_client.Gauge("first", "First.").set(1)
    await scrape(app)
    REGISTRY.register(Broken())
    REGISTRY.register(Unwritable())
    prometheus_client.Gauge("last", "Last.").set(1)

    assert (await scrape(app, accept=accept)).samples("first", "before", "last") == {
        "first": 1.0,
        "before": 1.0,
        "last": 1.0,
    }
    errors = (await scrape(app, accept=accept)).samples("belvedere_internal_errors_total")
    assert errors == {'belvedere_internal_errors_total{feature="metrics"}': 2.0}


async def test_a_registry_of_ones_own_kind_may_fail_as_well(observe: Observe) -> None:
    """Whatever collects, what fails there is contained."""

    class Failing(CollectorRegistry):
        def collect(self) -> Iterator[Metric]:
            raise LookupError

    app = FastAPI()
    observability = observe(app, registry=Failing())
    assert observability.report()["metrics"]["state"] == "on"
    assert "http_requests_total" in (await scrape(app)).types()


async def test_a_custom_registry_is_served_with_declared_metrics(observe: Observe) -> None:
    """The registry given to `observe`, what was declared, and the process's metrics, each name once."""
    registry = CollectorRegistry()
    prometheus_client.Counter("mine", "Mine.", registry=registry).inc()
    prometheus_client.ProcessCollector(registry=registry)
    belvedere.counter("declared", "Declared.").inc(3)
    app = FastAPI()
    observe(app, registry=registry)

    found = await scrape(app)
    assert found.samples("mine_total", "declared_total") == {"mine_total": 1.0, "declared_total": 3.0}
    assert found.types("process_cpu") == {"process_cpu_seconds_total": "counter"}


async def test_target_info_of_a_registry_is_served(observe: Observe) -> None:
    """What a registry says about itself is a metric like any other."""
    app = FastAPI()
    observe(app, registry=CollectorRegistry(target_info={"env": "test"}))
    assert (await scrape(app)).samples("target_info") == {'target_info{env="test"}': 1.0}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: prometheus_client.Counter("http_requests", "Mine.", ["a"]).labels("b").inc(), "http_requests"),
        (lambda: prometheus_client.Gauge("http_requests_total", "Mine.").set(1), "http_requests_total"),
        (
            lambda: prometheus_client.Histogram("http_request_duration_seconds", "Mine."),
            "http_request_duration_seconds",
        ),
        (lambda: prometheus_client.Gauge("http_request_size_bytes_count", "Mine."), "http_request_size_bytes_count"),
        (lambda: prometheus_client.Info("belvedere", "Mine."), "belvedere"),
        (lambda: belvedere.gauge("of_a_part_total", "Mine."), "of_a_part_total"),
    ],
)
@BOTH
async def test_a_metric_that_has_the_name_of_ours_is_hidden_and_told(
    accept: bytes | None, make: Any, name: str, observe: Observe
) -> None:
    """Two metrics of one name would spoil the scrape: ours is served, and the report names the other."""

    class Part:
        def install(self, host: belvedere.Host) -> None:
            host.metric("counter", "of_a_part", "A part's.")

        def uninstall(self) -> None: ...

    app = FastAPI()
    observability = observe(app, Part())
    assert "hidden" not in observability.report()["metrics"]["why"]
    make()
    await ask(app, "GET", "/nowhere")

    found = await scrape(app, accept=accept)
    assert found.families
    assert "Mine." not in found.text
    assert found.types("http_requests")
    assert observability.report()["metrics"] == {
        "state": "on",
        "why": f"at /metrics; hidden by Belvedere's of the same name: {name}",
    }


async def test_two_applications_of_one_process_keep_their_requests_apart(observe: Observe) -> None:
    """Requests belong to the application that served them; what was declared shows in both."""
    apps = FastAPI(), FastAPI()
    for app in apps:
        observe(app)
    belvedere.counter("declared", "Declared.").inc()
    await ask(apps[0], "GET", "/nowhere")
    await ask(apps[0], "GET", "/nowhere")
    await ask(apps[1], "POST", "/nowhere")

    assert [(await scrape(app)).samples("http_requests_total", "declared_total") for app in apps] == [
        {'http_requests_total{endpoint="unmatched",method="GET",status="404"}': 2.0, "declared_total": 1.0},
        {'http_requests_total{endpoint="unmatched",method="POST",status="404"}': 1.0, "declared_total": 1.0},
    ]


async def test_an_application_observed_twice_counts_once(observe: Observe) -> None:
    """The second call returns the first one's object, and changes nothing about the counts."""
    app = FastAPI()
    assert observe(app) is observe(app)
    await ask(app, "GET", "/nowhere")
    assert list((await scrape(app)).samples("http_requests_total").values()) == [1.0]
