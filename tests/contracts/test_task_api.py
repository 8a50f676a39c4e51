"""The contract of `task-api`, line by line.

| line of the contract | shown by |
| --- | --- |
| the root, the probes, the CRUD of `/api/v1/tasks` | `test_endpoints`, `test_health`, `test_ready` |
| `http_requests_total`, `http_request_duration_seconds`; templates, never raw paths | `test_http_metrics` |
| probes and scrapes are counted and logged | `test_probes_and_scrapes` |
| `task_created_total`, `task_deleted_total`, `task_active_count`, true after a restart | `test_metrics_of_the_entity` |
| 500, HTTP errors, 422 and their log events | `test_unhandled`, `test_http_errors`, `test_validation` |
| log keys, `application_starting`, `request_processed`, a file as well | `test_logs`, `test_start`, `test_file` |
| `X-Request-ID` made as a UUID or kept, security headers, `/docs` | `test_ids`, `test_headers` |

Not here: the generated tree, its tests and the pipeline; the gauge over several workers.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.conftest import SECURITY_HEADERS, Lines, Serve
from tests.contracts.task_api import build
from tests.drive import Answer, ask, running
from tests.metrics.scraping import ASKS_OPENMETRICS, Scrape, scrape

ID = "custom-123"
WITH_ID = [(b"x-request-id", ID.encode())]
BASE = {"service": "task-api", "environment": "development", "request_id": ID, "trace_id": ID}
JSON = [(b"content-type", b"application/json"), *WITH_ID]


async def metrics(app: Any, accept: bytes | None = None) -> Scrape:
    return await scrape(app, path="/metrics/metrics", accept=accept)


async def create(app: Any, title: str = "write") -> Answer:
    return await ask(app, "POST", "/api/v1/tasks", headers=JSON, body=json.dumps({"title": title}).encode())


def access(path: str, endpoint: str, status: int, size: int, method: str = "GET", **more: Any) -> dict[str, Any]:
    level = "info" if status < 400 else "warning" if status < 500 else "error"
    return {
        "level": level,
        "logger": "belvedere.access",
        "event": "request_processed",
        **BASE,
        **more,
        "method": method,
        "path": path,
        "endpoint": endpoint,
        "status": status,
        "response_bytes": size,
        "client": "127.0.0.1",
    }


async def test_endpoints(serve: Serve) -> None:
    """The root describes the service; tasks are created, listed, read, updated and deleted."""
    app = serve(build())
    assert (await ask(app)).json() == {
        "name": "task-api",
        "version": "1.0.0",
        "status": "running",
        "docs": "/docs",
        "health": "/health/health",
        "ready": "/health/ready",
        "metrics": "/metrics/metrics",
    }
    assert ((await create(app)).status, (await create(app, "read")).json()) == (201, {"id": 2, "title": "read"})
    assert (await ask(app, "GET", "/api/v1/tasks")).json() == [{"id": 1, "title": "write"}, {"id": 2, "title": "read"}]
    changed = await ask(app, "PUT", "/api/v1/tasks/2", headers=JSON, body=b'{"title":"rest"}')
    assert changed.json() == (await ask(app, "GET", "/api/v1/tasks/2")).json() == {"id": 2, "title": "rest"}
    assert (await ask(app, "DELETE", "/api/v1/tasks/2")).status == 204
    assert (await ask(app, "GET", "/docs")).status == 200


async def test_health(serve: Serve) -> None:
    """Liveness is always 200, with the database down too."""
    app = serve(build())
    app.state.down = True
    answer = await ask(app, "GET", "/health/health")
    assert (answer.status, answer.json()) == (200, {"status": "ok", "service": "task-api"})
    assert answer.all("content-type") == ["application/json"]


@pytest.mark.parametrize(
    ("down", "status", "payload"),
    [
        (False, 200, {"status": "ready", "checks": {"database": "ok"}}),
        (True, 503, {"status": "not_ready", "checks": {"database": "failed"}, "error": "Database connection failed"}),
    ],
)
async def test_ready(down: bool, status: int, payload: Any, serve: Serve) -> None:
    """Readiness is 200 or 503 with the database, and says no more than the contract."""
    app = serve(build())
    app.state.down = down
    answer = await ask(app, "GET", "/health/ready")
    assert (answer.status, answer.json()) == (status, payload)


async def test_http_metrics(serve: Serve) -> None:
    """Requests and durations by method, template and status, in Prometheus text."""
    app = serve(build({7: "write"}))
    for path in ("/api/v1/tasks/7", "/api/v1/tasks/8", "/api/v1/tasks/x", "/api/v1/tasks/13", "/nowhere/7"):
        await ask(app, "GET", path)

    found = await metrics(app)
    assert found.answer.all("content-type") == ["text/plain; version=0.0.4; charset=utf-8"]
    assert found.types("http_requests_total") == {"http_requests_total": "counter"}
    assert found.types("http_request_duration_seconds") == {"http_request_duration_seconds": "histogram"}
    endpoint = 'endpoint="/api/v1/tasks/{task_id}",method="GET"'
    assert found.samples("http_requests_total", "http_request_duration_seconds_count") == {
        f'http_requests_total{{{endpoint},status="200"}}': 1.0,
        f'http_requests_total{{{endpoint},status="404"}}': 1.0,
        f'http_requests_total{{{endpoint},status="422"}}': 1.0,
        f'http_requests_total{{{endpoint},status="500"}}': 1.0,
        'http_requests_total{endpoint="unmatched",method="GET",status="404"}': 1.0,
        f"http_request_duration_seconds_count{{{endpoint}}}": 4.0,
        'http_request_duration_seconds_count{endpoint="unmatched",method="GET"}': 1.0,
    }
    assert found.labels()["http_request_duration_seconds_bucket"] == ["endpoint", "method"]


async def test_probes_and_scrapes(serve: Serve, lines: Lines) -> None:
    """They are counted and logged here."""
    app = serve(build())
    for path in ("/health/health", "/health/ready", "/metrics/metrics"):
        answer = await ask(app, "GET", path, headers=WITH_ID)
        assert lines() == [access(path, path, 200, len(answer.body))]

    assert (await metrics(app)).samples("http_requests_total") == {
        f'http_requests_total{{endpoint="{path}",method="GET",status="200"}}': 1.0
        for path in ("/health/health", "/health/ready", "/metrics/metrics")
    }


async def test_metrics_of_the_entity(serve: Serve) -> None:
    """Created and deleted are counted; how many there are is asked of the database, after a restart too."""
    rows: dict[int, str] = {}
    app = serve(build(rows))
    await create(app)
    await create(app)
    await ask(app, "DELETE", "/api/v1/tasks/1")

    found = await metrics(app)
    assert found.types("task_") == {
        "task_created_total": "counter",
        "task_deleted_total": "counter",
        "task_active_count": "gauge",
    }
    names = "task_created_total", "task_deleted_total", "task_active_count"
    assert found.samples(*names) == {"task_created_total": 2.0, "task_deleted_total": 1.0, "task_active_count": 1.0}
    app.state.belvedere.remove()
    again = serve(build({1: "a", 2: "b", 3: "c"}))
    assert (await metrics(again, ASKS_OPENMETRICS)).samples("task_active_count") == {"task_active_count": 3.0}


async def test_unhandled(serve: Serve, lines: Lines) -> None:
    """The 500 says nothing but its id; the log has the exception and its stack, once."""
    app = serve(build())
    answer = await ask(app, "GET", "/api/v1/tasks/13", headers=WITH_ID)
    assert answer.status == 500
    assert answer.json() == {
        "error": "internal_server_error",
        "message": "An unexpected error occurred",
        "request_id": ID,
    }
    assert answer.all("content-type") == ["application/json"]
    assert lines() == [
        {
            "level": "error",
            "logger": "belvedere",
            "event": "unhandled_exception",
            **BASE,
            "path": "/api/v1/tasks/13",
            "method": "GET",
            "exception_type": "RuntimeError",
            "exception_message": "no such luck",
        },
        access("/api/v1/tasks/13", "/api/v1/tasks/{task_id}", 500, len(answer.body)),
    ]


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "status", "message"),
    [
        ("GET", "/api/v1/tasks/99", "/api/v1/tasks/{task_id}", 404, "Not Found"),
        ("GET", "/nowhere", "unmatched", 404, "Not Found"),
        ("PATCH", "/api/v1/tasks", "/api/v1/tasks", 405, "Method Not Allowed"),
    ],
)
async def test_http_errors(
    method: str, path: str, endpoint: str, status: int, message: str, *, serve: Serve, lines: Lines
) -> None:
    """HTTP errors have their status in their name, and are logged at warning."""
    app = serve(build())
    answer = await ask(app, method, path, headers=WITH_ID)
    assert (answer.status, answer.json()) == (
        status,
        {"error": f"http_{status}", "message": message, "request_id": ID},
    )
    assert lines() == [
        {
            "level": "warning",
            "logger": "belvedere",
            "event": "http_exception",
            **BASE,
            "path": path,
            "method": method,
            "status_code": status,
        },
        access(path, endpoint, status, len(answer.body), method),
    ]


async def test_validation(serve: Serve, lines: Lines) -> None:
    """A 422 tells where and what, and repeats no input, neither in the answer nor in the log."""
    app = serve(build())
    answer = await ask(app, "POST", "/api/v1/tasks", headers=JSON, body=b'{"title":"' + b"s3cret" * 9 + b'"}')
    details = [
        {"loc": ["body", "title"], "msg": "String should have at most 20 characters", "type": "string_too_long"},
    ]
    assert answer.status == 422
    assert answer.json() == {
        "error": "validation_error",
        "message": "Request validation failed",
        "details": details,
        "request_id": ID,
    }
    assert lines() == [
        {
            "level": "warning",
            "logger": "belvedere",
            "event": "validation_error",
            **BASE,
            "path": "/api/v1/tasks",
            "method": "POST",
            "errors": details,
        },
        access("/api/v1/tasks", "/api/v1/tasks", 422, len(answer.body), "POST"),
    ]


async def test_logs(serve: Serve, lines: Lines) -> None:
    """A line of the application's own has its fields, the id and the user that was bound; so has the access line."""
    app = serve(build())
    answer = await create(app)
    assert lines() == [
        {
            "level": "info",
            "logger": "src.api.routes.tasks",
            "event": "task_created",
            **BASE,
            "user_id": "u-1",
            "task_id": 1,
        },
        access("/api/v1/tasks", "/api/v1/tasks", 201, len(answer.body), "POST", user_id="u-1"),
    ]


async def test_start(serve: Serve, lines: Lines) -> None:
    """`application_starting` tells name, version, environment, debug and level, and what is on."""
    app = serve(build())
    async with running(app):
        pass
    starting, started, stopped = lines()
    assert set(starting.pop("features")) >= {"requests", "logs", "metrics", "health", "problems", "headers", "tracing"}
    service = {"service": "task-api", "environment": "development"}
    assert starting == {
        "level": "info",
        "logger": "belvedere",
        "event": "application_starting",
        **service,
        "app_name": "task-api",
        "version": "1.0.0",
        "debug": False,
        "log_level": "INFO",
    }
    assert started.pop("seconds") >= 0
    assert started == {
        "level": "info",
        "logger": "belvedere",
        "event": "application_started",
        **service,
        "version": "1.0.0",
    }
    assert stopped == {"level": "info", "logger": "belvedere", "event": "application_stopped", **service}


async def test_file(serve: Serve, lines: Lines, tmp_path: Path) -> None:
    """Where a path is set, the same lines are in that file as well."""
    path = tmp_path / "logs" / "app.log"
    app = serve(build(logs={"format": "json", "path": str(path)}))
    answer = await ask(app, "GET", "/api/v1/tasks", headers=WITH_ID)
    shown = lines()
    (line,) = (json.loads(line) for line in path.read_text().splitlines())
    del line["timestamp"], line["latency_ms"]
    assert [line] == shown == [access("/api/v1/tasks", "/api/v1/tasks", 200, len(answer.body))]


async def test_ids(serve: Serve, lines: Lines) -> None:
    """An id is made as a UUID, or kept as it came; on every response and in every line."""
    app = serve(build())
    for path in ("/", "/nowhere", "/api/v1/tasks/x", "/api/v1/tasks/13", "/health/health", "/metrics/metrics"):
        made = (await ask(app, "GET", path)).id
        assert str(uuid.UUID(made)) == made
        assert {line["request_id"] for line in lines()} == {made}
        assert (await ask(app, "GET", path, headers=WITH_ID)).id == ID
        assert {line["request_id"] for line in lines()} == {ID}


async def test_headers(serve: Serve) -> None:
    """Security headers are on every response, errors included, and `/docs` keeps working."""
    app = serve(build())
    for path in ("/", "/docs", "/nowhere", "/api/v1/tasks/x", "/api/v1/tasks/13", "/health/health", "/metrics/metrics"):
        headers = (await ask(app, "GET", path)).headers
        assert headers[-len(SECURITY_HEADERS) :] == SECURITY_HEADERS
    secure = await ask(app, "GET", "/", scheme="https")
    assert secure.all("strict-transport-security") == ["max-age=31536000; includeSubDomains"]
    docs = await ask(app, "GET", "/docs")
    assert docs.status == 200
    assert docs.all("content-security-policy") == []
