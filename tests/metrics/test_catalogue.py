"""The catalogue: every metric as data, for whoever makes dashboards and rules of it."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI

import belvedere
from belvedere import conventions
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import scrape


def by_name(observability: belvedere.Observability) -> dict[str, dict[str, Any]]:
    metrics = json.loads(json.dumps(observability.catalogue()))["metrics"]
    named = {metric["name"]: metric for metric in metrics}
    assert len(named) == len(metrics)
    return named


def test_all_of_belvederes_metrics_are_in_it(observe: Observe) -> None:
    """Each with type, help, labels and buckets."""
    metrics = by_name(observe(FastAPI()))
    for metric in (*conventions.HTTP_METRICS, *conventions.WEBSOCKET_METRICS, *conventions.OWN_METRICS):
        buckets: tuple[float, ...] = ()
        if metric.type == "histogram":
            buckets = conventions.SIZE_BUCKETS if metric.name.endswith("_bytes") else conventions.DURATION_BUCKETS
        assert metrics[metric.name] == {
            "name": metric.name,
            "type": metric.type,
            "help": metric.help,
            "labels": list(metric.labels),
            "buckets": list(buckets),
            "declared": False,
        }


def test_declared_metrics_are_in_it(observe: Observe) -> None:
    """Those of the process and those of parts, the infinite bucket left out as in all others."""

    class Part:
        def install(self, host: belvedere.Host) -> None:
            host.metric("counter", "part_calls", "Calls.", ["kind"])

        def uninstall(self) -> None: ...

    observability = observe(FastAPI(), Part())
    belvedere.counter("orders", "Orders.", ["channel"])
    belvedere.gauge("carts", "Carts.")
    belvedere.histogram("basket_euros", "Baskets.", buckets=[10, 100, float("inf")])
    belvedere.histogram("wait_seconds", "Waits.")

    declared = {name: metric for name, metric in by_name(observability).items() if metric["declared"]}
    shown = {name: (m["type"], m["help"], m["labels"], m["buckets"]) for name, m in declared.items()}
    assert shown == {
        "part_calls_total": ("counter", "Calls.", ["kind"], []),
        "orders_total": ("counter", "Orders.", ["channel"], []),
        "carts": ("gauge", "Carts.", [], []),
        "basket_euros": ("histogram", "Baskets.", [], [10, 100]),
        "wait_seconds": (
            "histogram",
            "Waits.",
            [],
            [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
        ),
    }


def test_settings_show_in_it(observe: Observe) -> None:
    """Names, labels and buckets are those that are served."""
    observability = observe(
        FastAPI(),
        belvedere.SLO("fast", objective=99, latency=0.2),
        metrics={
            "names": {"http_requests_total": ["calls", "answers"]},
            "labels": {"status": "code"},
            "constant_labels": {"app": "shop"},
            "context_labels": ["tenant"],
            "duration_status": True,
            "buckets": [0.1, 1],
        },
    )
    metrics = by_name(observability)
    assert "http_requests_total" not in metrics
    for name in ("calls_total", "answers_total"):
        assert metrics[name]["labels"] == ["method", "endpoint", "code", "app", "tenant"]
    duration = metrics["http_request_duration_seconds"]
    assert duration["labels"] == ["method", "endpoint", "code", "app", "tenant"]
    assert duration["buckets"] == [0.1, 0.2, 1.0]


async def test_it_agrees_with_the_scrape(observe: Observe) -> None:
    """Every metric in it is served under that name and type, and none of ours is served that it lacks."""
    app = FastAPI()

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError

    observability = observe(app, belvedere.Check("database", lambda: True), metrics={"context_labels": ["tenant"]})
    belvedere.counter("orders", "Orders.", ["channel"]).labels("web").inc()
    for path in ("/broken", "/readyz"):
        await ask(app, "GET", path)

    found = await scrape(app)
    metrics = by_name(observability)
    served = {name: kind for name, kind in found.types().items() if not name.startswith(("process_", "python_"))}
    assert served == {name: metric["type"] for name, metric in metrics.items()}
    labels = found.labels()
    for name, metric in metrics.items():
        sample = f"{name}_count" if metric["type"] == "histogram" else name
        if sample in labels:
            assert labels[sample] == sorted(metric["labels"])
