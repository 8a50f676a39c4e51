"""However many values come, a metric keeps a bounded number of series."""

from __future__ import annotations

from fastapi import FastAPI

import belvedere
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import Scrape, scrape


def tenants() -> FastAPI:
    app = FastAPI()

    @app.get("/{tenant}")
    async def root(tenant: str) -> None:
        belvedere.bind(tenant=tenant)

    return app


def by_tenant(found: Scrape, name: str = "http_requests_total") -> dict[str, float]:
    return {text.split('tenant="')[1].split('"')[0]: value for text, value in found.samples(name).items()}


async def test_values_past_a_labels_bound_share_one(observe: Observe) -> None:
    """The first values keep their series, further ones are `_overflow`, and each update there is told by metric."""
    app = tenants()
    observe(app, metrics={"context_labels": {"tenant": 3}})
    for number in [*range(5), 0, 4]:
        await ask(app, "GET", f"/t{number}")

    found = await scrape(app)
    assert by_tenant(found) == {"t0": 2.0, "t1": 1.0, "t2": 1.0, "_overflow": 3.0}
    assert by_tenant(found, "http_request_duration_seconds_count") == by_tenant(found)
    assert found.samples("belvedere_series_folded_total") == {
        f'belvedere_series_folded_total{{metric="{metric}"}}': 3.0
        for metric in (
            "http_requests_total",
            "http_request_duration_seconds",
            "http_request_size_bytes",
            "http_response_size_bytes",
        )
    }


async def test_folding_is_told_under_the_names_that_are_served(observe: Observe) -> None:
    """A renamed metric is named as its readers know it, under each of its names."""
    app = tenants()
    names = {"http_requests_total": ["calls", "answers"], "http_request_duration_seconds": "call_seconds"}
    observe(app, metrics={"context_labels": {"tenant": 1}, "names": names})
    for tenant in "ab":
        await ask(app, "GET", f"/{tenant}")

    assert set((await scrape(app)).samples("belvedere_series_folded_total")) == {
        f'belvedere_series_folded_total{{metric="{metric}"}}'
        for metric in (
            "calls_total",
            "answers_total",
            "call_seconds",
            "http_request_size_bytes",
            "http_response_size_bytes",
        )
    }


async def test_a_metric_has_a_bound_on_its_label_sets_as_well(observe: Observe) -> None:
    """Past `max_series` label sets, context folds; what is bounded by construction keeps its own series."""
    app = FastAPI()

    @app.get("/{tenant}/a")
    @app.get("/{tenant}/b")
    @app.get("/{tenant}/c")
    async def page(tenant: str) -> None:
        belvedere.bind(tenant=tenant)

    observe(app, metrics={"context_labels": {"tenant": 1000}, "max_series": 30})
    for number in range(40):
        for page_ in "abc":
            await ask(app, "GET", f"/t{number}/{page_}")

    found = await scrape(app)
    requests = found.samples("http_requests_total")
    assert sum(requests.values()) == 120.0
    assert len(requests) <= 30 + 3
    assert {text: value for text, value in requests.items() if "_overflow" in text} == {
        f'http_requests_total{{endpoint="/{{tenant}}/{page_}",method="GET",status="200",tenant="_overflow"}}': 30.0
        for page_ in "abc"
    }
    assert len(found.samples("http_response_size_bytes_count")) == len(requests)
    assert (
        found.samples("belvedere_series_folded_total")['belvedere_series_folded_total{metric="http_requests_total"}']
        == 90.0
    )


async def test_a_declared_metric_folds_what_is_past_its_bound(observe: Observe) -> None:
    """All labels of a further label set are `_overflow`, by position and by name, told under the full name."""
    observe(app := FastAPI())
    jobs = belvedere.counter("bounds_jobs", "Jobs.", ["queue", "kind"], max_series=2)
    for number in range(4):
        jobs.labels(f"q{number}", "mail").inc()
        jobs.labels(kind="mail", queue=f"q{number}").inc()

    found = await scrape(app)
    assert found.samples("bounds_jobs_total") == {
        'bounds_jobs_total{kind="mail",queue="q0"}': 2.0,
        'bounds_jobs_total{kind="mail",queue="q1"}': 2.0,
        'bounds_jobs_total{kind="_overflow",queue="_overflow"}': 4.0,
    }
    assert found.samples("belvedere_series_folded_total") == {
        'belvedere_series_folded_total{metric="bounds_jobs_total"}': 4.0
    }


async def test_gauges_and_histograms_fold_alike(observe: Observe) -> None:
    """Every kind of declared metric is bounded, and a label set that was removed makes room."""
    observe(app := FastAPI())
    depth = belvedere.gauge("bounds_depth", "Depth.", ["queue"], max_series=1)
    waited = belvedere.histogram("bounds_waited_seconds", "Waits.", ["queue"], buckets=[1], max_series=1)
    for queue in "ab":
        depth.labels(queue).set(3)
        waited.labels(queue=queue).observe(0.5)
    assert set((await scrape(app)).samples("bounds_depth", "bounds_waited_seconds_count")) == {
        'bounds_depth{queue="a"}',
        'bounds_depth{queue="_overflow"}',
        'bounds_waited_seconds_count{queue="a"}',
        'bounds_waited_seconds_count{queue="_overflow"}',
    }

    depth.clear()
    depth.labels("c").set(1)
    assert (await scrape(app)).samples("bounds_depth") == {'bounds_depth{queue="c"}': 1.0}


async def test_a_flood_of_paths_and_methods_leaves_a_handful_of_series(observe: Observe) -> None:
    """A thousand unknown paths and methods are as many requests, and no more series than one of each."""
    observe(app := FastAPI())
    for number in range(1000):
        await ask(app, f"M{number}" if number % 2 else "GET", f"/{number}")

    found = await scrape(app)
    assert found.samples("http_requests_total") == {
        'http_requests_total{endpoint="unmatched",method="GET",status="404"}': 500.0,
        'http_requests_total{endpoint="unmatched",method="_OTHER",status="404"}': 500.0,
    }


async def test_a_long_value_is_cut(observe: Observe) -> None:
    """A label's value has at most 256 characters, whatever was bound."""
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        belvedere.bind(tenant="t" * 1_000_000)

    observe(app, metrics={"context_labels": {"tenant": 3}})
    await ask(app, "GET", "/")
    assert by_tenant(await scrape(app)) == {"t" * 256: 1.0}
