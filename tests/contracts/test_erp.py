"""The contract of `erp`, line by line.

| line of the contract | shown by |
| --- | --- |
| HTTP metrics with `app_name="erp_backend"` | `test_app_name` |
| `/metrics` is not in the OpenAPI schema | `test_schema` |
| `erp_entities_created_total`, `erp_service_function_duration_seconds`, |  |
| `erp_active_websocket_connections`: names, labels, types | `test_own` |
| metrics are declared once, and used with a timer (block and decorator) or a counter | `test_own`, `test_once` |
| `/healthz/live`, `/healthz/ready`, 503 out of traffic, also by hand | `test_health`, `test_by_hand` |
| one `request_id` in every line, user and organisation when known | `test_correlation` |
| log format and context | `test_correlation` |

Not here: Sentry, Celery and httpx, Loki, alerts, dashboards, the generated files.
"""

from __future__ import annotations

from typing import Any

import pytest

import belvedere
from tests.contracts.conftest import Lines, Serve
from tests.contracts.erp import build
from tests.drive import Socket, ask
from tests.metrics.scraping import scrape

ID = "custom-123"
WITH_ID = [(b"x-request-id", ID.encode())]
INVOICES = "/organizations/{organization_id}/invoices"


async def test_app_name(serve: Serve) -> None:
    """Every HTTP metric carries it; nobody else's does."""
    app = serve(build())
    await ask(app, "POST", "/organizations/o1/invoices")
    await ask(app, "GET", "/broken")

    found = await scrape(app)
    assert found.samples("http_requests_total", "http_requests_in_progress", "http_exceptions_total") == {
        f'http_requests_total{{app_name="erp_backend",endpoint="{INVOICES}",method="POST",status="201"}}': 1.0,
        'http_requests_total{app_name="erp_backend",endpoint="/broken",method="GET",status="500"}': 1.0,
        'http_requests_in_progress{app_name="erp_backend",method="POST"}': 0.0,
        'http_requests_in_progress{app_name="erp_backend",method="GET"}': 0.0,
        'http_exceptions_total{app_name="erp_backend",endpoint="/broken",exception="RuntimeError",method="GET"}': 1.0,
    }
    labels = found.labels()
    for name in ("http_request_duration_seconds", "http_request_size_bytes", "http_response_size_bytes"):
        for part in ("bucket", "count", "sum"):
            assert labels[f"{name}_{part}"] == ["app_name", "endpoint", "method"]
    assert {name.split("_")[0] for name, labelled in labels.items() if "app_name" in labelled} == {"http"}


async def test_schema(serve: Serve) -> None:
    """Neither the metrics nor the probes are in the document."""
    paths = (await ask(serve(build()), "GET", "/openapi.json")).json()["paths"]
    assert set(paths) == {INVOICES, "/broken"}


async def test_own(serve: Serve) -> None:
    """The declared metrics have these names, labels and types, and count what was done."""
    app = serve(build())
    for organization in ("o1", "o1", "o2"):
        await ask(app, "POST", f"/organizations/{organization}/invoices")
    socket = Socket(app, "/ws")
    task = socket.start()
    await socket.sent(1)
    found = await scrape(app)
    socket.say("bye")
    await task

    assert found.types("erp_") == {
        "erp_entities_created_total": "counter",
        "erp_service_function_duration_seconds": "histogram",
        "erp_active_websocket_connections": "gauge",
    }
    duration = "erp_service_function_duration_seconds"
    assert found.samples("erp_entities_created_total", f"{duration}_count", "erp_active_websocket_connections") == {
        'erp_entities_created_total{entity_type="invoice",organization_id="o1"}': 2.0,
        'erp_entities_created_total{entity_type="invoice",organization_id="o2"}': 1.0,
        f'{duration}_count{{function_name="create",service_name="invoices"}}': 3.0,
        f'{duration}_count{{function_name="number",service_name="invoices"}}': 3.0,
        "erp_active_websocket_connections": 1.0,
    }
    assert (await scrape(app)).samples("erp_active_websocket_connections") == {"erp_active_websocket_connections": 0.0}


async def test_once(serve: Serve) -> None:
    """A metric that is declared elsewhere again is the same one; with other labels it is refused."""
    serve(build())
    labels = ["entity_type", "organization_id"]
    again = belvedere.counter("erp_entities_created_total", "Entities created.", labels)
    assert again is belvedere.counter("erp_entities_created", "Entities created.", labels)
    with pytest.raises(ValueError, match=r"declared already with labels \('entity_type', 'organization_id'\)"):
        belvedere.counter("erp_entities_created_total", "Entities created.", ["entity_type"])


@pytest.mark.parametrize(
    ("down", "status", "payload"),
    [
        (set(), 200, {"status": "ready", "checks": {"database": "ok", "redis": "ok"}}),
        (
            {"redis"},
            503,
            {
                "status": "not_ready",
                "checks": {"database": "ok", "redis": "failed"},
                "error": "Redis check failed",
            },
        ),
        (
            {"database", "redis"},
            503,
            {
                "status": "not_ready",
                "checks": {"database": "failed", "redis": "failed"},
                "error": "Database check failed",
            },
        ),
    ],
)
async def test_health(down: set[str], status: int, payload: Any, serve: Serve) -> None:
    """Liveness asks nobody; readiness is 503 as soon as one critical dependency is away, and shows no secret."""
    app = serve(build())
    app.state.down = down
    live, ready = [await ask(app, "GET", path) for path in ("/healthz/live", "/healthz/ready")]
    assert (live.status, live.json()) == (200, {"status": "ok"})
    assert (ready.status, ready.json()) == (status, payload)


async def test_by_hand(serve: Serve) -> None:
    """An instance is taken out of traffic, and put back."""
    app = serve(build())
    app.state.belvedere.ready = False
    out = await ask(app, "GET", "/healthz/ready")
    app.state.belvedere.ready = True
    back = await ask(app, "GET", "/healthz/ready")
    assert (out.status, out.json()["status"], back.status) == (503, "not_ready", 200)


async def test_correlation(serve: Serve, lines: Lines) -> None:
    """The response's id is in the application's lines and in the access line, beside user and organisation."""
    app = serve(build())
    answer = await ask(app, "POST", "/organizations/o1/invoices", headers=WITH_ID)
    assert answer.id == ID
    known = {
        "service": "erp_backend",
        "environment": "local",
        "request_id": ID,
        "trace_id": ID,
        "organization_id": "o1",
        "user_id": "u-1",
    }
    assert lines() == [
        {"level": "info", "logger": "app.features.invoices", "event": "invoice_created", **known},
        {
            "level": "info",
            "logger": "belvedere.access",
            "event": "request_processed",
            **known,
            "method": "POST",
            "path": "/organizations/o1/invoices",
            "endpoint": INVOICES,
            "status": 201,
            "response_bytes": len(answer.body),
            "client": "127.0.0.1",
        },
    ]
    broken = await ask(app, "GET", "/broken")
    assert [line["request_id"] for line in lines("event", "unhandled_exception", "request_processed")] == [
        broken.id
    ] * 2
