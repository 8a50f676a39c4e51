"""The contract of `scholarships`, line by line, as far as the library carries it; the service itself has its own tests.

| line of the contract | shown by |
| --- | --- |
| the read endpoints and the search, their payloads, the unified 404 | `test_endpoints`, `test_errors` |
| `/healthz`, `/readyz`, `/metrics` in text and OpenMetrics | `test_probes`, `test_formats` |
| log keys, `user_id` when known, no secret | `test_logs`, `test_secrets` |
| ids: kept or made, in the state, every response, every line; traced | `test_ids`, `test_one_value`, `test_traced` |
| HTTP metrics, `interactions_recorded_total`, `database_query_duration_seconds` | `test_metrics` |
| `ENABLE_METRICS`, `LOG_LEVEL`, `ENVIRONMENT`, `OTEL_ENDPOINT` | `test_variables` |

Not here: interactions, authentication, write endpoints, rate limits, export of traces.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contracts.conftest import SECURITY_HEADERS, Lines, Serve
from tests.contracts.scholarships import build
from tests.drive import ask
from tests.metrics.scraping import ASKS_OPENMETRICS, OPENMETRICS, TEXT, scrape

ID = "custom-123"
WITH_ID = [(b"x-request-id", ID.encode())]
JSON = [(b"content-type", b"application/json"), *WITH_ID]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def access(path: str, endpoint: str, status: int, size: int, method: str = "GET", **more: Any) -> dict[str, Any]:
    level = "info" if status < 400 else "warning" if status < 500 else "error"
    return {
        "level": level,
        "logger": "belvedere.access",
        "message": "request_processed",
        "service": "scholarships",
        "environment": "local",
        "request_id": ID,
        "trace_id": ID,
        **more,
        "method": method,
        "path": path,
        "endpoint": endpoint,
        "status": status,
        "response_bytes": size,
    }


async def test_endpoints(serve: Serve) -> None:
    """The root links what there is; lists are pages, single items objects, and search results have a score."""
    app = serve(build())
    assert (await ask(app)).json() == {
        "name": "Scholarship Discovery & Search API",
        "version": "1.0.0",
        "status": "running",
        "links": {"docs": "/docs", "health": "/healthz", "ready": "/readyz", "metrics": "/metrics"},
    }
    page = (await ask(app, "GET", "/scholarships", query=b"limit=2&offset=1")).json()
    assert page == {
        "items": [{"id": 2, "title": "Scholarship 2"}, {"id": 3, "title": "Scholarship 3"}],
        "total": 15,
        "limit": 2,
        "offset": 1,
    }
    assert (await ask(app, "GET", "/scholarships/7")).json() == {"id": 7, "title": "Scholarship 7"}
    found = await ask(app, "POST", "/search", headers=JSON, body=b'{"query":"15"}')
    item = {"id": 15, "title": "Scholarship 15", "score": 1.0}
    assert found.json() == {"items": [item], "total": 1, "limit": 20, "offset": 0}


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/scholarships/99", 404, {"error": "http_404", "message": "Not Found"}),
        ("/nowhere", 404, {"error": "http_404", "message": "Not Found"}),
        ("/scholarships/13", 500, {"error": "internal_server_error", "message": "An unexpected error occurred"}),
        (
            "/scholarships/x",
            422,
            {
                "error": "validation_error",
                "message": "Request validation failed",
                "details": [
                    {
                        "loc": ["path", "id"],
                        "msg": "Input should be a valid integer, unable to parse string as an integer",
                        "type": "int_parsing",
                    }
                ],
            },
        ),
    ],
)
async def test_errors(path: str, status: int, body: dict[str, Any], serve: Serve) -> None:
    """Every error has the unified shape, its id and the security headers."""
    answer = await ask(serve(build()), "GET", path, headers=WITH_ID)
    assert (answer.status, answer.json()) == (status, {**body, "request_id": ID})
    assert answer.headers[-4:] == SECURITY_HEADERS


async def test_probes(serve: Serve) -> None:
    """Liveness checks nothing; readiness tells each upstream's status, 200 or 503."""
    app = serve(build())
    assert (await ask(app, "GET", "/readyz")).json() == {"status": "ready", "checks": {"database": "ok"}}
    app = serve(build())
    app.state.down = True
    live, ready = [await ask(app, "GET", path) for path in ("/healthz", "/readyz")]
    assert (live.status, live.body) == (200, b'{"status":"ok"}')
    assert (ready.status, ready.json()) == (
        503,
        {"status": "not_ready", "checks": {"database": "failed"}, "error": "Database check failed"},
    )


async def test_formats(serve: Serve) -> None:
    """Metrics are Prometheus text, and OpenMetrics when asked for."""
    app = serve(build())
    assert (await scrape(app)).answer.all("content-type") == [TEXT]
    found = await scrape(app, accept=ASKS_OPENMETRICS)
    assert found.answer.all("content-type") == [OPENMETRICS]
    assert found.families


async def test_metrics(serve: Serve) -> None:
    """Requests, their latency and errors; interactions by event; queries by operation and table."""
    app = serve(build())
    for path in ("/", "/scholarships", "/scholarships", "/scholarships/7", "/scholarships/99", "/scholarships/13"):
        await ask(app, "GET", path)

    found = await scrape(app)
    assert found.types("interactions_") == {"interactions_recorded_total": "counter"}
    assert found.types("database_") == {"database_query_duration_seconds": "histogram"}
    assert found.samples(
        "http_requests_total",
        "http_request_duration_seconds_count",
        "http_exceptions_total",
        "interactions_recorded_total",
        "database_query_duration_seconds_count",
    ) == {
        'http_requests_total{endpoint="/",method="GET",status="200"}': 1.0,
        'http_requests_total{endpoint="/scholarships",method="GET",status="200"}': 2.0,
        'http_requests_total{endpoint="/scholarships/{id}",method="GET",status="200"}': 1.0,
        'http_requests_total{endpoint="/scholarships/{id}",method="GET",status="404"}': 1.0,
        'http_requests_total{endpoint="/scholarships/{id}",method="GET",status="500"}': 1.0,
        'http_request_duration_seconds_count{endpoint="/",method="GET"}': 1.0,
        'http_request_duration_seconds_count{endpoint="/scholarships",method="GET"}': 2.0,
        'http_request_duration_seconds_count{endpoint="/scholarships/{id}",method="GET"}': 3.0,
        'http_exceptions_total{endpoint="/scholarships/{id}",exception="RuntimeError",method="GET"}': 1.0,
        'interactions_recorded_total{event_type="root_view"}': 1.0,
        'interactions_recorded_total{event_type="list_scholarships"}': 2.0,
        'database_query_duration_seconds_count{operation="SELECT",table="scholarships"}': 4.0,
    }


async def test_logs(serve: Serve, lines: Lines) -> None:
    """One object a line with the contract's keys; the user when there is one, no address of the client."""
    app = serve(build())
    answer = await ask(app, "GET", "/scholarships/7", headers=WITH_ID)
    assert lines() == [access("/scholarships/7", "/scholarships/{id}", 200, len(answer.body))]
    answer = await ask(app, "GET", "/auth/me", headers=WITH_ID)
    assert lines() == [access("/auth/me", "/auth/me", 200, len(answer.body), user_id="student")]
    await ask(app, "GET", "/healthz")
    await ask(app, "GET", "/metrics")
    assert lines() == []


async def test_secrets(serve: Serve, lines: Lines) -> None:
    """No secret and no token, whatever is logged."""
    app = serve(build())
    await ask(app, "POST", "/search", headers=[*JSON, (b"authorization", b"Bearer eyJhbGciOi.e30.c2ln")], body=b"{}")
    (line,) = lines("message", "searched")
    assert line == {
        "level": "info",
        "logger": "scholarships.search",
        "message": "searched",
        "service": "scholarships",
        "environment": "local",
        "request_id": ID,
        "trace_id": ID,
        "found": 15,
        "token": "[redacted]",
        "authorization": "[redacted]",
    }


async def test_ids(serve: Serve) -> None:
    """A valid id is kept; else 32 hex digits are made, which are the trace id as well."""
    app = serve(build())
    for bad in (b"", b"two words", b"i" * 129):
        answer = await ask(app, "GET", "/auth/me", headers=[(b"x-request-id", bad)])
        assert re.fullmatch("[0-9a-f]{32}", answer.id)
        assert answer.json() == {"user": "student", "trace_id": answer.id, "request_id": answer.id}
    kept = await ask(app, "GET", "/auth/me", headers=WITH_ID)
    assert kept.id == ID
    assert kept.json() == {"user": "student", "trace_id": ID, "request_id": ID}


@pytest.mark.parametrize("path", ["/", "/nowhere", "/scholarships/x", "/scholarships/13", "/healthz", "/metrics"])
async def test_one_value(path: str, serve: Serve, lines: Lines) -> None:
    """The id of the response is the one in every line."""
    answer = await ask(serve(build()), "GET", path)
    assert re.fullmatch("[0-9a-f]{32}", answer.id)
    assert {(line["request_id"], line["trace_id"]) for line in lines()} <= {(answer.id, answer.id)}


async def test_traced(serve: Serve, lines: Lines) -> None:
    """With an id of the caller's and a trace, the line has both, each under its own name."""
    app = serve(build())
    traced = [*WITH_ID, (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())]
    answer = await ask(app, "GET", "/auth/me", headers=traced)
    assert (answer.id, answer.json()["trace_id"], answer.json()["request_id"]) == (ID, TRACE, ID)
    assert [(line["request_id"], line["trace_id"]) for line in lines()] == [(ID, TRACE)]


async def test_variables(serve: Serve, lines: Lines) -> None:
    """Metrics can be switched off, the level and the environment set; without an endpoint there is no exporter."""
    app = serve(build({"ENABLE_METRICS": "false", "LOG_LEVEL": "WARNING", "ENVIRONMENT": "staging"}))
    assert (await ask(app, "GET", "/metrics")).status == 404
    assert [(line["level"], line["environment"]) for line in lines()] == [("warning", "staging")] * 2
    await ask(app, "GET", "/scholarships")
    assert lines() == []
    report = app.state.belvedere.report()
    assert report["metrics"] == {"state": "off", "why": "switched off by the settings"}
    assert report["tracing"]["state"] == "off"
