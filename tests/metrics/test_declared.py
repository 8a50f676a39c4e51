"""Metrics that an application declares: each once, bounded, served by every application of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import prometheus_client
import pytest
from fastapi import FastAPI

import belvedere
from tests.metrics.conftest import Observe
from tests.metrics.scraping import ASKS_OPENMETRICS, scrape


async def test_declared_metrics_are_served(app: FastAPI) -> None:
    """A counter, a gauge and a histogram appear with type, help, labels and values."""
    belvedere.counter("shop_orders_total", "Orders placed.", ["channel"]).labels("web").inc(2)
    belvedere.gauge("shop_carts_open", "Carts that are open.").set(3)
    belvedere.histogram("shop_basket_euros", "Value of baskets.", ["channel"], buckets=[10, 100]).labels("app").observe(
        20
    )

    found = await scrape(app)
    assert found.text.split("# HELP shop_orders_total ")[1].splitlines()[:4] == [
        "Orders placed.",
        "# TYPE shop_orders_total counter",
        'shop_orders_total{channel="web"} 2.0',
        "# HELP shop_carts_open Carts that are open.",
    ]
    assert found.types("shop_") == {
        "shop_orders_total": "counter",
        "shop_carts_open": "gauge",
        "shop_basket_euros": "histogram",
    }
    assert {text: value for text, value in found.samples().items() if text.startswith("shop_")} == {
        'shop_orders_total{channel="web"}': 2.0,
        "shop_carts_open": 3.0,
        'shop_basket_euros_bucket{channel="app",le="10.0"}': 0.0,
        'shop_basket_euros_bucket{channel="app",le="100.0"}': 1.0,
        'shop_basket_euros_bucket{channel="app",le="+Inf"}': 1.0,
        'shop_basket_euros_count{channel="app"}': 1.0,
        'shop_basket_euros_sum{channel="app"}': 20.0,
    }


async def test_a_counter_gets_the_total_that_its_name_lacks(app: FastAPI) -> None:
    """With or without the ending it is the same metric."""
    first = belvedere.counter("orders", "Orders.")
    assert belvedere.counter("orders_total", "Orders.") is first
    first.inc()
    assert (await scrape(app)).samples("orders", "orders_total", "orders_total_total") == {"orders_total": 1.0}


@pytest.mark.parametrize(
    "declare",
    [
        lambda: belvedere.counter("jobs_total", "Jobs.", ["queue"]),
        lambda: belvedere.gauge("jobs_waiting", "Jobs.", ["queue"], combine="max"),
        lambda: belvedere.histogram("jobs_seconds", "Jobs.", ["queue"], buckets=[1, 2]),
    ],
)
def test_declared_twice_is_the_first(declare: Any) -> None:
    """Two modules may declare the same metric."""
    assert declare() is declare()


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (
            lambda: belvedere.counter("jobs", "Jobs.", ["kind"]),
            r"jobs_total is declared already with labels \('queue',\)",
        ),
        (lambda: belvedere.counter("jobs_total", "Jobs."), r"now with \(\): declare it once and import it, or choose"),
        (lambda: belvedere.gauge("jobs_total", "Jobs.", ["queue"]), "kind 'counter', now with 'gauge'"),
        (
            lambda: belvedere.histogram("waits", "Waits.", buckets=[2]),
            r"waits is declared .* buckets \(1,\), now with \(2,\)",
        ),
        (lambda: belvedere.gauge("depth", "Depth.", combine="max"), "combine 'sum', now with 'max'"),
    ],
)
def test_declared_otherwise_raises_with_advice(again: Any, message: str) -> None:
    """The message names the metric, what it was, what it is now, and what to do."""
    belvedere.counter("jobs_total", "Jobs.", ["queue"])
    belvedere.histogram("waits", "Waits.", buckets=[1])
    belvedere.gauge("depth", "Depth.")
    with pytest.raises(ValueError, match=message):
        again()


@pytest.mark.parametrize(
    ("declare", "error", "message"),
    [
        (lambda: belvedere.counter("jobs", "Jobs.", "queue"), TypeError, r"write \['queue'\]"),
        (lambda: belvedere.counter("http_requests", "Mine."), ValueError, "_total is a metric of Belvedere's"),
        (lambda: belvedere.gauge("depth", "D.", combine="avg"), ValueError, "min or latest, not 'avg'"),  # type: ignore[arg-type]
        (lambda: belvedere.gauge("shop.carts", "C."), ValueError, "'shop.carts' is no metric name: use"),
        (lambda: belvedere.counter("1st", "C."), ValueError, "'1st_total' is no metric name"),
        (lambda: belvedere.counter("jobs", "J.", ["queue name"]), ValueError, "'queue name' is no label name"),
        (lambda: belvedere.counter("jobs", "J.", ["__queue"]), ValueError, "jobs_total: '__queue' is no label name"),
        (lambda: belvedere.histogram("waits", "W.", ["le"]), ValueError, "waits: 'le' is no label name"),
        (lambda: belvedere.counter("jobs", "J.", ["a", "a"]), ValueError, "jobs_total: a label is named twice"),
        (lambda: belvedere.histogram("waits", "W.", buckets=[2, 1]), ValueError, "waits: buckets must rise"),
        (lambda: belvedere.gauge("depth", "D.", read=3), TypeError, "depth: read is an async callable, not 3"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_be_says_what_to_do(declare: Any, error: type[Exception], message: str) -> None:
    """Bad names, labels, buckets and arguments are refused where they are written, not when somebody scrapes."""
    with pytest.raises(error, match=message):
        declare()


def test_a_metric_made_with_prometheus_client_cannot_be_declared_again() -> None:
    """The message says that it is served as it is."""
    prometheus_client.Counter("taken_total", "Taken.")
    with pytest.raises(ValueError, match="taken_total was made with prometheus_client directly already; it is served"):
        belvedere.counter("taken", "Taken.")


def test_a_name_that_a_declared_metric_uses_up_is_told_by_that_metric() -> None:
    """A histogram has `_count`: a gauge of that name would be it twice."""
    belvedere.histogram("waits", "Waits.")
    with pytest.raises(ValueError, match="waits_count would be called as samples of waits are, declared already"):
        belvedere.gauge("waits_count", "Waits.")


def test_wrong_labels_raise() -> None:
    """Too few, too many, unknown or mixed ones: prometheus-client's own exceptions."""
    jobs = belvedere.counter("jobs_total", "Jobs.", ["queue", "kind"])
    for call in (
        lambda: jobs.labels("a"),
        lambda: jobs.labels("a", "b", "c"),
        lambda: jobs.labels(queue="a"),
        lambda: jobs.labels(queue="a", sort="b"),
        lambda: jobs.labels("a", kind="b"),
        jobs.inc,
    ):
        with pytest.raises(ValueError, match=r"(?i)label|both"):
            call()


async def test_a_metric_without_label_sets_is_there_without_samples(app: FastAPI) -> None:
    """Whoever asks which metrics there are finds it."""
    belvedere.counter("jobs_total", "Jobs.", ["queue"])
    found = await scrape(app)
    assert found.types("jobs") == {"jobs_total": "counter"}
    assert not found.samples("jobs_total")


async def test_a_gauge_can_be_read_at_each_scrape(app: FastAPI) -> None:
    """`read` is awaited on the event loop each time."""
    values = iter([3, 4.5])

    async def count() -> float:
        await asyncio.sleep(0)
        return next(values)

    belvedere.gauge("tasks_active", "Open tasks.", read=count)
    assert (await scrape(app)).samples("tasks_active") == {"tasks_active": 3.0}
    assert (await scrape(app)).samples("tasks_active") == {"tasks_active": 4.5}


async def test_a_gauge_with_labels_reads_a_mapping(app: FastAPI) -> None:
    """Label values to value; a label set that is not in it any more is not shown any more."""
    answers: list[Mapping[Any, float]] = [{"ready": 5, "failed": 1}, {"ready": 4}, {}]

    async def count() -> Mapping[Any, float]:
        return answers.pop(0)

    belvedere.gauge("videos", "Videos.", ["status"], read=count)
    assert (await scrape(app)).samples("videos") == {'videos{status="ready"}': 5.0, 'videos{status="failed"}': 1.0}
    assert (await scrape(app)).samples("videos") == {'videos{status="ready"}': 4.0}
    assert (await scrape(app)).samples("videos") == {}


async def test_a_gauge_with_several_labels_reads_tuples(app: FastAPI) -> None:
    """The key is a tuple of label values, in the order of the labels; what is no text becomes text."""

    async def count() -> Mapping[Any, float]:
        return {("mail", 1): 5, ("mail", 2): 7}

    belvedere.gauge("queue_length", "Length.", ["queue", "priority"], read=count)
    assert (await scrape(app)).samples("queue_length") == {
        'queue_length{priority="1",queue="mail"}': 5.0,
        'queue_length{priority="2",queue="mail"}': 7.0,
    }


@pytest.mark.parametrize("broken", [LookupError("secret"), "not a number", None, {"ready": 1}])
async def test_a_gauge_whose_read_fails_shows_its_last_value(broken: Any, app: FastAPI) -> None:
    """A failing source costs nobody the scrape; the failure is counted."""
    answers: list[Any] = [7, broken]

    async def count() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    belvedere.gauge("tasks_active", "Open tasks.", read=count)
    await scrape(app)
    assert (await scrape(app)).samples("tasks_active", "belvedere_internal_errors_total") == {
        "tasks_active": 7.0,
        'belvedere_internal_errors_total{feature="metrics"}': 1.0,
    }


async def test_a_gauge_whose_read_hangs_holds_up_no_scrape(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment the others are served; those that answered have their values."""
    monkeypatch.setattr("belvedere.metrics.metrics._READ_TIMEOUT", 0.01)

    async def hang() -> float:
        await asyncio.Event().wait()
        return 1

    async def count() -> float:
        return 2

    belvedere.gauge("hangs", "Never read.", read=hang)
    belvedere.gauge("answers", "Read.", read=count)
    assert (await scrape(app)).samples("hangs", "answers", "belvedere_internal_errors_total") == {
        "hangs": 0.0,
        "answers": 2.0,
        'belvedere_internal_errors_total{feature="metrics"}': 1.0,
    }


async def test_the_reads_of_several_gauges_run_side_by_side(app: FastAPI) -> None:
    """Each waits for the other here: one after the other, neither would end."""
    barrier = asyncio.Barrier(2)

    async def meet() -> float:
        await barrier.wait()
        return 1

    belvedere.gauge("one", "One.", read=meet)
    belvedere.gauge("two", "Two.", read=meet)
    assert (await scrape(app)).samples("one", "two", "belvedere_internal_errors_total") == {"one": 1.0, "two": 1.0}


async def test_a_gauge_declared_again_is_read_as_said_last(app: FastAPI) -> None:
    """An application that is built again, as in tests, brings a source of its own."""

    def declare(value: float) -> Any:
        async def read() -> float:
            return value

        return belvedere.gauge("tasks_active", "Open tasks.", read=read)

    first = belvedere.gauge("tasks_active", "Open tasks.")
    assert declare(1) is first
    assert (await scrape(app)).samples("tasks_active") == {"tasks_active": 1.0}
    assert declare(2) is first
    assert belvedere.gauge("tasks_active", "Open tasks.") is first
    assert (await scrape(app)).samples("tasks_active") == {"tasks_active": 2.0}


async def test_when_a_metric_was_made_is_no_series(app: FastAPI) -> None:
    """`_created` would double the series of every counter; a metric that is called so is shown."""
    belvedere.counter("jobs", "Jobs.").inc()
    belvedere.gauge("users_created", "Users.").set(5)
    belvedere.counter("posts_created", "Posts.").inc()
    for accept in (None, ASKS_OPENMETRICS):
        names = {
            name for name in (await scrape(app, accept=accept)).labels() if name.startswith(("jobs", "users", "posts"))
        }
        assert names == {"jobs_total", "users_created", "posts_created_total"}


async def test_a_metric_of_a_part_belongs_to_its_application(observe: Observe) -> None:
    """Two applications with the same part have a metric each; asked for twice, it is the first."""

    class Part:
        def install(self, host: belvedere.Host) -> None:
            self.calls = host.metric("counter", "part_calls", "Calls.", ["kind"])
            assert host.metric("counter", "part_calls", "Calls.", ["kind"]) is self.calls
            self.seconds = host.metric("histogram", "part_seconds", "Seconds.", buckets=[1, 2])
            self.depth = host.metric("gauge", "part_depth", "Depth.")

        def uninstall(self) -> None: ...

    parts = Part(), Part()
    apps = FastAPI(), FastAPI()
    for app, part in zip(apps, parts, strict=True):
        observe(app, part)
    parts[0].calls.labels("a").inc()
    parts[0].depth.set(2)
    parts[1].seconds.observe(1.5)

    names = "part_calls_total", "part_seconds_sum", "part_depth"
    assert (await scrape(apps[0])).samples(*names) == {
        'part_calls_total{kind="a"}': 1.0,
        "part_seconds_sum": 0.0,
        "part_depth": 2.0,
    }
    assert (await scrape(apps[1])).samples(*names) == {"part_seconds_sum": 1.5, "part_depth": 0.0}


async def test_without_metrics_a_part_gets_metrics_that_nobody_sees(observe: Observe) -> None:
    """A part need not ask whether the feature is on."""

    class Part:
        def install(self, host: belvedere.Host) -> None:
            for kind in ("counter", "gauge", "histogram"):
                host.metric(kind, f"unseen_{kind}", "Unseen.", ["a"]).labels("b")

        def uninstall(self) -> None: ...

    observe(FastAPI(), Part(), metrics=None)
    assert "unseen" not in prometheus_client.generate_latest().decode()
