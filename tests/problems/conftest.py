"""An application that fails in every way, with the handlers that it is lent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from belvedere.asgi import Attachment, Plan
from belvedere.problems import Problems
from belvedere.settings import Settings

ID = "test-1"
INTERNAL = {"error": "internal_server_error", "message": "An unexpected error occurred", "request_id": ID}


class Line(NamedTuple):
    level: str
    event: str
    fields: dict[str, Any]


class Log(list[Line]):
    """A structlog logger that keeps what it is given."""

    def warning(self, event: str, **fields: Any) -> None:
        self.append(Line("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.append(Line("error", event, fields))


@pytest.fixture
def log() -> Log:
    return Log()


@contextmanager
def attached(app: Any, log: Log | None = None, **settings: Any) -> Iterator[Plan]:
    """Lend `app` the handlers and document them, as long as the block lasts."""
    problems = Problems(Settings(**settings), log)
    plan = Plan()
    plan.answer_failure, plan.failed = problems.answer_failure, problems.failed
    attachment = Attachment(app, plan, problems.handlers, problems.document)
    try:
        yield plan
    finally:
        attachment.remove()


async def ask(app: Any, path: str, method: str = "GET", **arguments: Any) -> httpx.Response:
    """Send one request with the id `test-1`; what the application raises on stays with the server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"X-Request-ID": ID, **arguments.pop("headers", {})}
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        return await client.request(method, path, headers=headers, **arguments)


@pytest.fixture(params=[False, True], ids=["production", "debug"])
def app(request: pytest.FixtureRequest) -> FastAPI:
    """The same routes at the top and in a mounted application, in debug mode and not."""
    app = FastAPI(debug=request.param)
    mounted = FastAPI(debug=request.param)
    for routes in (app, mounted):

        @routes.get("/broken")
        async def broken() -> None:
            raise RuntimeError("password=hunter2")

        @routes.get("/forbidden")
        async def forbidden() -> None:
            raise HTTPException(403)

    app.mount("/mounted", mounted)
    return app


def raising(error: Exception) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def root() -> None:
        raise error

    return app
