"""The contract of `social-flow`, line by line.

| line of the contract | shown by |
| --- | --- |
| JSON; `event`, `level`, `timestamp`, `request_id`, `app`, `environment`, the call's fields | `test_logs` |
| `LogContext` reaches every line inside, async included; `set_request_id` | `test_logs`, `test_job` |
| e-mail and IP address of `user_registered` are shown, noisy libraries are quiet | `test_logs` |
| `application_starting`, then `application_started` with `version` | `test_start` |
| `/`, `/live`, `/ready` below `/api/v1/health` | `test_alive`, `test_ready` |
| `/detailed`, `/startup` there | `test_detailed`, `test_startup` |
| all checks in parallel | `test_parallel` |
| HTTP metrics with `status_code` | `test_http_metrics` |
| database, Redis, Celery, ML and business metrics, names, labels and types | `test_metrics` |
| `track_time`, `track_count`, sync and async | `test_decorators` |

Not here: the integrations behind checks and metrics, dashboards, alerts, deployment; colours of development, which are
another format than these settings say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import belvedere
from tests.contracts.conftest import Lines, Serve
from tests.contracts.social_flow import DETAILS, build
from tests.drive import Answer, ask, running
from tests.metrics.scraping import ASKS_OPENMETRICS, scrape

ID = "custom-123"
WITH_ID = [(b"x-request-id", ID.encode())]
BASE = {"app": "social-flow-backend", "environment": "production", "request_id": ID, "trace_id": ID}
HEALTH = "/api/v1/health"


def payload(answer: Answer) -> Any:
    """Return what a probe says, its times checked for their form and left out."""
    body = answer.json()
    at = body.pop("timestamp")
    assert at.endswith("Z")
    assert datetime.fromisoformat(at).tzinfo is not None
    for check in body.get("checks", {}).values():
        latency = check.pop("latency_ms")
        assert 0 <= latency < 10_000
        assert round(latency, 2) == latency
    assert answer.all("cache-control") == ["no-store"]
    return body


def healthy(*names: str) -> dict[str, Any]:
    return {name: {"status": "healthy", **DETAILS[name]} for name in names}


async def test_logs(serve: Serve, lines: Lines) -> None:
    """Every line has the id and the service as `app`; what `LogContext` adds stays inside, in tasks and threads too."""
    app = serve(build())
    answer = await ask(app, "POST", "/api/v1/users", headers=WITH_ID)
    inside = {"user_id": "u-1", "operation": "upload"}
    found = lines()
    first, last = found[0], found[-2:]
    assert first == {
        "level": "info",
        "logger": "app.api.users",
        "event": "user_registered",
        **BASE,
        "email": "ada@example.org",
        "ip_address": "192.0.2.7",
        "password": "[redacted]",
    }
    assert sorted(found[1:-2], key=lambda line: str(line["event"])) == [
        {"level": "warning", "logger": "sqlalchemy.engine", "event": "heard", **BASE, **inside},
        {"level": "info", "logger": "app.worker", "event": "in a thread", **BASE, **inside},
        {"level": "info", "logger": "app.api.users", "event": "inside", **BASE, **inside, "name": "a"},
    ]
    assert last == [
        {"level": "info", "logger": "app.api.users", "event": "outside", **BASE},
        {
            "level": "info",
            "logger": "belvedere.access",
            "event": "request_processed",
            **BASE,
            "method": "POST",
            "path": "/api/v1/users",
            "endpoint": "/api/v1/users",
            "status": 201,
            "response_bytes": len(answer.body),
            "client": "127.0.0.1",
        },
    ]


def test_job(serve: Serve, lines: Lines) -> None:
    """A job outside any request has the id that it was given."""
    serve(build())
    log = belvedere.get_logger("app.jobs")
    belvedere.set_request_id("job-7")
    log.info("encoded", video=3)
    belvedere.set_request_id(None)
    log.info("idle")
    service = {"app": "social-flow-backend", "environment": "production"}
    assert lines() == [
        {
            "level": "info",
            "logger": "app.jobs",
            "event": "encoded",
            **service,
            "request_id": "job-7",
            "video": 3,
        },
        {"level": "info", "logger": "app.jobs", "event": "idle", **service},
    ]


async def test_start(serve: Serve, lines: Lines) -> None:
    """Starting, then started, with the version."""
    app = serve(build())
    async with running(app):
        starting, started = lines()
    assert (starting["event"], starting["app"], starting["version"]) == (
        "application_starting",
        "social-flow-backend",
        "2.1.0",
    )
    assert started.pop("seconds") >= 0
    assert started == {
        "level": "info",
        "logger": "belvedere",
        "event": "application_started",
        "app": "social-flow-backend",
        "environment": "production",
        "version": "2.1.0",
    }


async def test_alive(serve: Serve) -> None:
    """The basic answer and liveness are of the process alone."""
    app = serve(build())
    app.state.down = set(DETAILS)
    basic, live = [await ask(app, "GET", f"{HEALTH}{path}") for path in ("/", "/live")]
    assert (basic.status, payload(basic)) == (200, {"status": "healthy", "service": "social-flow-backend"})
    assert (live.status, payload(live)) == (200, {"status": "alive", "service": "social-flow-backend"})


async def test_ready(serve: Serve) -> None:
    """The critical dependencies with their details; 503 when one is away, without a word of its exception."""
    app = serve(build())
    ready = await ask(app, "GET", f"{HEALTH}/ready")
    assert list(ready.json()) == ["status", "checks", "timestamp"]
    assert list(ready.json()["checks"]["database"])[:2] == ["status", "latency_ms"]
    assert (ready.status, payload(ready)) == (200, {"status": "ready", "checks": healthy("database", "redis")})
    app = serve(build())
    app.state.down = {"redis", "celery"}
    ready = await ask(app, "GET", f"{HEALTH}/ready")
    assert (ready.status, payload(ready)) == (
        503,
        {
            "status": "not_ready",
            "checks": {**healthy("database"), "redis": {"status": "unhealthy", "error": "Redis check failed"}},
        },
    )


async def test_detailed(serve: Serve) -> None:
    """All checks: healthy, degraded when only what is not critical is away, unhealthy when a critical one is."""
    names = ("database", "redis", "celery", "s3", "ml_models")
    app = serve(build())
    whole = await ask(app, "GET", f"{HEALTH}/detailed")
    assert (whole.status, payload(whole)) == (200, {"status": "healthy", "checks": healthy(*names)})
    for down, status, word in (({"celery"}, 200, "degraded"), ({"celery", "database"}, 503, "unhealthy")):
        app = serve(build())
        app.state.down = down
        answer = await ask(app, "GET", f"{HEALTH}/detailed")
        failed = {
            name: {"status": "unhealthy", "error": f"{name.capitalize()} check failed"}
            for name in names
            if name in down
        }
        assert (answer.status, payload(answer)) == (status, {"status": word, "checks": {**healthy(*names), **failed}})


async def test_startup(serve: Serve) -> None:
    """503 until the application has started and its migrations are applied."""
    during: list[Answer] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        during.append(await ask(app, "GET", f"{HEALTH}/startup"))
        yield

    app = serve(build(lifespan))
    answer = {"service": "social-flow-backend", "checks": healthy("migrations")}
    async with running(app):
        after = await ask(app, "GET", f"{HEALTH}/startup")
    assert (during[0].status, payload(during[0])) == (503, {"status": "starting", **answer})
    assert (after.status, payload(after)) == (200, {"status": "started", **answer})
    app = serve(build())
    app.state.down = {"migrations"}
    async with running(app):
        missing = await ask(app, "GET", f"{HEALTH}/startup")
    assert (missing.status, missing.json()["status"]) == (503, "starting")


async def test_parallel(serve: Serve) -> None:
    """Checks that wait for each other all end: one after the other, none would."""
    app = serve(build())
    barrier = asyncio.Barrier(3)

    async def meet() -> None:
        await barrier.wait()

    for name in "abc":
        app.state.belvedere.add(belvedere.Check(name, meet, probes=["detailed"]))
    assert (await ask(app, "GET", f"{HEALTH}/detailed")).status == 200


async def test_http_metrics(serve: Serve) -> None:
    """The five HTTP metrics, the status being called `status_code`."""
    app = serve(build())
    await ask(app, "POST", "/api/v1/users", body=b"12345", headers=[(b"content-length", b"5")])

    found = await scrape(app)
    endpoint = 'endpoint="/api/v1/users",method="POST"'
    assert found.samples(
        "http_requests_total",
        "http_requests_in_progress",
        "http_request_duration_seconds_count",
        "http_request_size_bytes_sum",
        "http_response_size_bytes_sum",
    ) == {
        f'http_requests_total{{{endpoint},status_code="201"}}': 1.0,
        'http_requests_in_progress{method="POST"}': 0.0,
        f"http_request_duration_seconds_count{{{endpoint}}}": 1.0,
        f"http_request_size_bytes_sum{{{endpoint}}}": 5.0,
        f"http_response_size_bytes_sum{{{endpoint}}}": 12.0,
    }


LABELS: dict[str, list[str]] = {
    "database_queries_total": ["operation", "table"],
    "database_query_duration_seconds": ["operation", "table"],
    "database_slow_queries_total": ["operation", "table"],
    "database_connections_active": [],
    "database_connections_idle": [],
    "redis_operations_total": ["operation"],
    "redis_operation_duration_seconds": ["operation"],
    "redis_cache_hits_total": ["cache"],
    "redis_cache_misses_total": ["cache"],
    "celery_tasks_total": ["status", "task_name"],
    "celery_task_duration_seconds": ["task_name"],
    "celery_queue_length": ["queue"],
    "celery_workers_active": ["queue"],
    "ml_predictions_total": ["model", "status"],
    "ml_prediction_duration_seconds": ["model"],
    "ml_cache_hit_rate": ["model"],
    "users_registered_total": [],
    "users_active": [],
    "videos_uploaded_total": [],
    "videos_total": ["status"],
    "posts_created_total": [],
    "comments_created_total": [],
    "live_streams_active": [],
    "payments_total": ["status", "type"],
    "revenue_total_usd": ["type"],
}
GAUGES = {name for name in LABELS if name.endswith(("_active", "_idle", "_length", "_rate"))} | {
    "videos_total",
    "revenue_total_usd",
}


async def test_metrics(serve: Serve) -> None:
    """Every metric of the contract is served under its name, with its type and exactly its labels, in both formats."""
    app = serve(build())
    for metric in vars(app.state.metrics).values():
        child = metric.labels(*("x" for _ in metric._labelnames)) if metric._labelnames else metric
        (child.observe if hasattr(child, "observe") else child.inc)(2)

    for accept in (None, ASKS_OPENMETRICS):
        found = await scrape(app, accept=accept)
        labels = found.labels()
        types = found.types()
        for name, expected in LABELS.items():
            kind = "histogram" if name.endswith("_seconds") else "gauge" if name in GAUGES else "counter"
            shown = name.removesuffix("_total") if accept and kind == "counter" else name
            assert types[shown] == kind
            assert labels[f"{name}_sum" if kind == "histogram" else name] == expected
        assert found.samples("revenue_total_usd", "videos_total", "payments_total") == {
            'revenue_total_usd{type="x"}': 2.0,
            'videos_total{status="x"}': 2.0,
            'payments_total{status="x",type="x"}': 2.0,
        }


async def test_decorators(serve: Serve) -> None:
    """An async endpoint and a sync function are timed, and the endpoint counted."""
    app = serve(build())
    await ask(app, "POST", "/api/v1/users")

    counts = "users_registered_total", "database_query_duration_seconds_count", "redis_operation_duration_seconds_count"
    assert (await scrape(app)).samples(*counts) == {
        "users_registered_total": 1.0,
        'database_query_duration_seconds_count{operation="INSERT",table="users"}': 1.0,
        'redis_operation_duration_seconds_count{operation="get"}': 1.0,
    }
