"""The contract of `projects`, line by line.

| line of the contract | shown by |
| --- | --- |
| `project_id` from the path, else from `X-Project-Id` | `test_project`, `test_labels` |
| `request_count`, `request_duration_seconds`, `response_status_count`, all five labels each | `test_labels` |
| counters with `_total`; whoever greps for the names finds them | `test_names` |
| `project_id` is bounded, a counter tells how many were folded | `test_bound` |
| `X-Request-Id` forwarded or a UUID4, on the response and in the log | `test_ids` |
| log keys `timestamp`, `service`, `level`, `message`, `request_id`, `project_id` | `test_project`, `test_logs` |
| `/metrics` is 200 and Prometheus text | `test_names` |

Not here: the stack, the shipping of logs, load and alert scripts.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.contracts.conftest import Lines, Serve
from tests.contracts.projects import build
from tests.drive import ask
from tests.metrics.scraping import ASKS_OPENMETRICS, TEXT, scrape

ID = b"custom-123"
LABELS = ["endpoint", "method", "project_id", "service", "status"]
THREE = ("request_count_total", "response_status_count_total", "request_duration_seconds_count")


def labels(endpoint: str, project: str, status: int) -> str:
    return f'{{endpoint="{endpoint}",method="GET",project_id="{project}",service="projects",status="{status}"}}'


@pytest.mark.parametrize("accept", [None, ASKS_OPENMETRICS])
async def test_labels(accept: bytes | None, serve: Serve) -> None:
    """All three metrics carry all five labels, whatever the answer."""
    app = serve(build())
    header = [(b"x-project-id", b"p2")]
    await ask(app, "GET", "/projects/p1/tasks", headers=header)
    await ask(app, "GET", "/tasks", headers=header)
    await ask(app, "GET", "/nowhere", headers=header)
    await ask(app, "GET", "/broken", headers=header)
    await ask(app, "GET", "/tasks")
    await ask(app, "GET", "/tasks", headers=[(b"x-project-id", b"no valid id")])

    found = await scrape(app, accept=accept)
    expected = {
        labels("/projects/{project_id}/tasks", "p1", 200): 1.0,
        labels("/tasks", "p2", 200): 1.0,
        labels("unmatched", "p2", 404): 1.0,
        labels("/broken", "p2", 500): 1.0,
        labels("/tasks", "", 200): 2.0,
    }
    for name in THREE:
        assert found.samples(name) == {f"{name}{text}": value for text, value in expected.items()}
        assert found.labels()[name] == LABELS
    assert found.labels()["request_duration_seconds_bucket"] == LABELS


async def test_names(serve: Serve) -> None:
    """In Prometheus text, under these names and no others."""
    app = serve(build())
    await ask(app, "GET", "/tasks")
    found = await scrape(app)
    assert found.answer.all("content-type") == [TEXT]
    assert found.types("request_") | found.types("response_") == {
        "request_count_total": "counter",
        "request_duration_seconds": "histogram",
        "response_status_count_total": "counter",
    }
    assert not {"http_requests_total", "http_request_duration_seconds"} & found.types().keys()
    for name in ("request_count", "request_duration_seconds", "response_status_count"):
        assert f"\n{name}" in found.text


async def test_bound(serve: Serve) -> None:
    """A hundred projects have series of their own, further ones share one, and it is told how many updates did."""
    app = serve(build())
    for number in range(103):
        await ask(app, "GET", f"/projects/p{number}/tasks")
    await ask(app, "GET", "/projects/p7/tasks")

    found = await scrape(app)
    folded = found.samples("belvedere_series_folded_total")
    for name in THREE:
        samples = found.samples(name)
        assert len(samples) == 101
        assert samples[name + labels("/projects/{project_id}/tasks", "p7", 200)] == 2.0
        assert samples[name + labels("/projects/{project_id}/tasks", "_overflow", 200)] == 3.0
        assert folded[f'belvedere_series_folded_total{{metric="{name.removesuffix("_count")}"}}'] == 3.0


async def test_ids(serve: Serve, lines: Lines) -> None:
    """Forwarded if given, else a UUID4; errors included."""
    app = serve(build())
    for path in ("/tasks", "/nowhere", "/broken", "/healthz", "/metrics"):
        given = await ask(app, "GET", path, headers=[(b"x-request-id", ID)])
        assert given.all("x-request-id") == ["custom-123"]
        assert {line["request_id"] for line in lines()} <= {"custom-123"}
        made = (await ask(app, "GET", path)).id
        assert uuid.UUID(made).version == 4
        assert str(uuid.UUID(made)) == made
        assert {line["request_id"] for line in lines()} <= {made}


def line(logger: str, message: str, project: str, **more: Any) -> dict[str, Any]:
    return {
        "level": "info",
        "logger": logger,
        "message": message,
        "service": "projects",
        "environment": "local",
        "request_id": "custom-123",
        "trace_id": "custom-123",
        "project_id": project,
        **more,
    }


async def test_logs(serve: Serve, lines: Lines) -> None:
    """Lines of the application and the access line have the contract's keys; the path's project comes first."""
    app = serve(build())
    headers = [(b"x-request-id", ID), (b"x-project-id", b"p2")]
    await ask(app, "GET", "/projects/p1/tasks", headers=headers)
    await ask(app, "GET", "/tasks", headers=headers)
    answer = {"method": "GET", "status": 200, "response_bytes": 2, "client": "127.0.0.1"}
    assert lines() == [
        line("app.main", "tasks_listed", "p1", count=0),
        line(
            "belvedere.access",
            "request_processed",
            "p1",
            path="/projects/p1/tasks",
            endpoint="/projects/{project_id}/tasks",
            **answer,
        ),
        line("belvedere.access", "request_processed", "p2", path="/tasks", endpoint="/tasks", **answer),
    ]


@pytest.mark.parametrize(
    ("path", "header", "project"),
    [
        ("/projects/p1/tasks", None, "p1"),
        ("/projects/p1/tasks", b"p2", "p1"),
        ("/tasks", b"p2", "p2"),
        ("/nowhere", b"p2", "p2"),
        ("/broken", b"p2", "p2"),
        ("/tasks", None, None),
        ("/tasks", b"no valid id", None),
    ],
)
async def test_project(path: str, header: bytes | None, project: str | None, serve: Serve, lines: Lines) -> None:
    """Every line of a request has its project, those of errors too; without a valid one there is no key."""
    headers = [] if header is None else [(b"x-project-id", header)]
    await ask(serve(build()), "GET", path, headers=headers)
    assert {found.get("project_id") for found in lines()} == {project}
