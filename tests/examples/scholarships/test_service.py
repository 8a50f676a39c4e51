"""What the service is besides its scholarships: its root, document, ids, metrics and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from sqlalchemy import URL

from belvedere.testing import CapturedLogs
from scholarships import __version__
from scholarships.config import Config
from tests.examples.scholarships.serving import made, running


@asynccontextmanager
async def served(config: Config, **transport: Any) -> AsyncIterator[httpx.AsyncClient]:
    with made(config) as app:
        async with (
            running(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app, **transport), base_url="http://test") as client,
        ):
            yield client


async def test_root(client: httpx.AsyncClient) -> None:
    """The root names the service, and where everything is."""
    answer = await client.get("/")
    assert answer.status_code == 200
    assert answer.json() == {
        "name": "scholarships",
        "version": "1.0.0",
        "status": "running",
        "docs": "/docs",
        "health": "/healthz",
        "ready": "/readyz",
        "metrics": "/metrics",
    }


async def test_links(client: httpx.AsyncClient) -> None:
    """Every link of the root leads somewhere."""
    links = (await client.get("/")).json()
    for name in ("docs", "health", "ready", "metrics"):
        assert (await client.get(links[name])).status_code == 200, name


async def test_behind_a_prefix(sample_url: URL) -> None:
    """Behind a proxy that cuts a prefix off, the links have the prefix."""
    async with served(Config(database_url=sample_url), root_path="/api") as client:
        links = (await client.get("/api/")).json()
    assert [links[name] for name in ("docs", "health", "ready", "metrics")] == [
        "/api/docs",
        "/api/healthz",
        "/api/readyz",
        "/api/metrics",
    ]


async def test_without_metrics(sample_url: URL) -> None:
    """`ENABLE_METRICS=false` takes the metrics away, and the link to them."""
    async with served(Config(database_url=sample_url, enable_metrics=False)) as client:
        assert (await client.get("/")).json()["metrics"] is None
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/scholarships")).status_code == 200


async def test_metrics(client: httpx.AsyncClient) -> None:
    """Requests are counted by route, and queries by table."""
    before = await samples(client)
    await client.get("/scholarships/1")
    await client.get("/scholarships/99")
    await client.post("/search", json={"query": "climate"})
    after = await samples(client)
    assert {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)} == {
        'http_requests_total{method="GET",endpoint="/scholarships/{id}",status="200"}': 1,
        'http_requests_total{method="GET",endpoint="/scholarships/{id}",status="404"}': 1,
        'http_requests_total{method="POST",endpoint="/search",status="200"}': 1,
        'database_query_duration_seconds_count{operation="SELECT",table="scholarships"}': 4,
    }


async def test_openmetrics(client: httpx.AsyncClient) -> None:
    """Metrics are Prometheus text, and OpenMetrics for those who ask for it."""
    plain = await client.get("/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    asked = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert asked.text.endswith("# EOF\n")
    assert "database_query_duration_seconds_bucket{" in asked.text


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    lines = (await client.get("/metrics")).text.splitlines()
    wanted = ("http_requests_total{", "database_query_duration_seconds_count{")
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith(wanted))}


async def test_request_id(client: httpx.AsyncClient) -> None:
    """An id is 32 hex digits, or what the caller sent, in every answer."""
    made = (await client.get("/scholarships")).headers["X-Request-ID"]
    assert len(made) == 32
    assert int(made, 16)
    for path in ("/", "/scholarships/1", "/scholarships/99", "/scholarships/x", "/nowhere", "/healthz", "/metrics"):
        answer = await client.get(path, headers={"X-Request-ID": "custom-123"})
        assert answer.headers["X-Request-ID"] == "custom-123", path


async def test_nowhere(client: httpx.AsyncClient) -> None:
    """What does not exist, and methods that do not, are errors in the shape of all."""
    for method, path, status, message in (
        ("GET", "/nowhere", 404, "Not Found"),
        ("PUT", "/search", 405, "Method Not Allowed"),
    ):
        answer = await client.request(method, path, headers={"X-Request-ID": "lost"})
        assert answer.status_code == status
        assert answer.json() == {"error": f"http_{status}", "message": message, "request_id": "lost"}


async def test_document(client: httpx.AsyncClient) -> None:
    """The OpenAPI document has the service's own calls, with all that they answer, and nothing of FastAPI's errors."""
    document = (await client.get("/openapi.json")).json()
    assert document["info"]["title"] == "Scholarship API"
    assert document["info"]["version"] == __version__
    answers = {
        f"{method.upper()} {path}": {status: _schema(answer) for status, answer in call["responses"].items()}
        for path, calls in document["paths"].items()
        for method, call in calls.items()
    }
    error, invalid = "ErrorEnvelope", "ValidationErrorEnvelope"
    always = {"4XX": error, "500": error}
    read = {"422": invalid, "503": error, **always}
    signed_in = {"401": error, "403": error, **read}
    written = {**signed_in, "429": error}
    assert answers == {
        "GET /": {"200": "ServiceInfo", **always},
        "GET /scholarships": {"200": "ScholarshipPage", **read},
        "GET /scholarships/{id}": {"200": "ScholarshipOut", "404": error, **read},
        "POST /search": {"200": "ScholarshipHits", "413": error, "429": error, **read},
        "POST /scholarships": {"201": "ScholarshipOut", "413": error, **written},
        "PATCH /scholarships/{id}": {"200": "ScholarshipOut", "404": error, "413": error, **written},
        "DELETE /scholarships/{id}": {"204": None, "404": error, **written},
        "POST /auth/token": {"200": "AccessToken", "401": error, "413": error, "429": error, **read},
        "GET /auth/me": {"200": "Me", "401": error, **always},
        "GET /interactions": {"200": "InteractionPage", "404": error, **signed_in},
        "GET /interactions/summary": {"200": "InteractionSummary", **signed_in},
    }
    assert not document["components"]["schemas"].keys() & {"HTTPValidationError", "ValidationError"}


def _schema(answer: dict[str, Any]) -> str | None:
    if "content" not in answer:
        return None
    reference: str = answer["content"]["application/json"]["schema"]["$ref"]
    return reference.removeprefix("#/components/schemas/")


async def test_parameters(client: httpx.AsyncClient) -> None:
    """The list documents what the contract names, each parameter optional."""
    document = (await client.get("/openapi.json")).json()
    parameters = document["paths"]["/scholarships"]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {
        "query", "min_amount", "max_amount", "deadline_after", "deadline_before",
        "field_of_study", "level", "country", "min_gpa", "limit", "offset", "sort",
    }  # fmt: skip
    assert not any(parameter["required"] for parameter in parameters)
    body = document["components"]["schemas"]["SearchBody"]
    assert body["properties"].keys() == {parameter["name"] for parameter in parameters} - {"sort"}
    assert "required" not in body
    assert body["additionalProperties"] is False


async def test_log(client: httpx.AsyncClient, belvedere_logs: CapturedLogs) -> None:
    """A request has one line with its id and route; what was searched for is in no line."""
    await client.get("/scholarships?query=private-words", headers={"X-Request-ID": "custom-123"})
    await client.post("/search", json={"query": "private-words"}, headers={"X-Request-ID": "custom-456"})
    await client.get("/readyz")
    lines = [line for line in belvedere_logs if line["logger"] != "httpx"]
    assert "private-words" not in str(lines)
    # A check that has no turn within its second, on a machine with others, has a line of its own.
    lines = [line for line in lines if line["logger"] == "belvedere.access"]
    for line in lines:
        del line["timestamp"], line["latency_ms"], line["response_bytes"]
    same: dict[str, Any] = {
        "level": "info",
        "logger": "belvedere.access",
        "service": "scholarships",
        "environment": "local",
    }
    same |= {"message": "request_processed", "status": 200}
    first = {"request_id": "custom-123", "trace_id": "custom-123", "method": "GET"}
    second = {"request_id": "custom-456", "trace_id": "custom-456", "method": "POST"}
    assert lines == [
        {**same, **first, "path": "/scholarships", "endpoint": "/scholarships"},
        {**same, **second, "path": "/search", "endpoint": "/search"},
    ]
