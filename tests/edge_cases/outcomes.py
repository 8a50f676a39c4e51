"""What a request leaves behind: its counts, its access line, the line of its exception."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from tests.drive import Answer, samples

INTERNAL = {"error": "internal_server_error", "message": "An unexpected error occurred"}


class Broken(Exception):  # noqa: N818 - it is what a test breaks, and no error of ours
    """What an application raises."""


async def counted(app: Any) -> dict[str, float]:
    """Return the requests, exceptions and those in progress."""
    return await samples(app, "http_requests_total", "http_exceptions_total", "http_requests_in_progress")


def ended(status: int, *, method: str = "GET", endpoint: str = "/", exception: str | None = None) -> dict[str, float]:
    """Return what is counted after one request."""
    expected = {
        f'http_requests_total{{method="{method}",endpoint="{endpoint}",status="{status}"}}': 1.0,
        f'http_requests_in_progress{{method="{method}"}}': 0.0,
    }
    if exception is not None:
        expected[f'http_exceptions_total{{method="{method}",endpoint="{endpoint}",exception="{exception}"}}'] = 1.0
    return expected


def access(answer_id: str, status: int, **more: Any) -> dict[str, Any]:
    """Return the access line of a GET of `/`, without what varies."""
    return {
        "level": "error" if status >= 500 else "warning" if status >= 400 else "info",
        "logger": "belvedere.access",
        "event": "request_processed",
        "service": "shop",
        "environment": "local",
        "request_id": answer_id,
        "trace_id": answer_id.replace("-", ""),
        "method": "GET",
        "path": "/",
        "endpoint": "/",
        "status": status,
        "response_bytes": 0,
        "client": "127.0.0.1",
        **more,
    }


async def gone(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def unhandled(line: dict[str, Any], answer: Answer) -> None:
    """Check the one line that tells of `Broken("no")`, traceback included."""
    traceback = line.pop("exception")
    assert "Traceback (most recent call last):\n" in traceback
    assert "outcomes.Broken: no" in traceback
    assert line == {
        "level": "error",
        "logger": "belvedere",
        "event": "unhandled_exception",
        "service": "shop",
        "environment": "local",
        "request_id": answer.id,
        "trace_id": answer.id.replace("-", ""),
        "path": "/",
        "method": "GET",
        "exception_type": "Broken",
        "exception_message": "no",
    }
