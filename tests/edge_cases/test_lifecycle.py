"""Lifecycle: however a request ends, it is counted once, logged once, and no longer in progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from tests.drive import Exchange, ask, requests, samples
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.outcomes import INTERNAL, Broken, access, counted, ended, unhandled


async def test_a_request_is_in_progress_until_its_last_byte(observe: Observe) -> None:
    """The gauge is 1 while the endpoint works, and 0 afterwards."""
    entered, leave = asyncio.Event(), asyncio.Event()
    app = FastAPI()

    @app.get("/")
    async def slow() -> None:
        entered.set()
        await leave.wait()

    observe(app)
    task = Exchange(app).start()
    await entered.wait()
    assert await counted(app) == {'http_requests_in_progress{method="GET"}': 1.0}
    leave.set()
    await task
    assert await counted(app) == ended(200)


@pytest.mark.parametrize("debug", [False, True])
async def test_a_handler_that_raises_before_the_answer(observe: Observe, lines: Lines, debug: bool) -> None:
    """An exception is answered with the envelope, counted and logged once, and raised on; in debug mode as well."""
    app = FastAPI(debug=debug)

    @app.get("/")
    async def broken() -> None:
        raise Broken("no")

    observe(app)
    answer = await ask(app)
    assert isinstance(answer.cause, Broken)
    assert answer.status == 500
    assert answer.json() == {**INTERNAL, "request_id": answer.id}
    told, line = lines()
    unhandled(told, answer)
    assert line == access(answer.id, 500, response_bytes=len(answer.body))
    assert await counted(app) == ended(500, exception="Broken")


async def test_a_handler_that_raises_after_the_answer_began(observe: Observe, lines: Lines) -> None:
    """What was begun with 200 stays 200; the exception is counted, logged once and raised on, the line an error."""
    app = FastAPI()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise Broken("no")

    app.get("/")(lambda: StreamingResponse(chunks()))
    observe(app)
    answer = await ask(app)
    assert isinstance(answer.cause, Broken)
    assert (answer.status, answer.body) == (200, b"one")
    told, line = lines()
    unhandled(told, answer)
    assert line == access(answer.id, 200, level="error", response_bytes=3)
    assert await counted(app) == ended(200, exception="Broken")


async def test_an_exception_handler_of_the_application_answers(observe: Observe, lines: Lines) -> None:
    """An exception that the application handles is no failure: its answer counts, and nobody logs a traceback."""
    app = FastAPI()

    @app.exception_handler(Broken)
    async def handle(request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), 418)

    @app.get("/")
    async def broken() -> None:
        raise Broken("no")

    observe(app)
    answer = await ask(app)
    assert (answer.raised, answer.status, answer.body) == (None, 418, b"no")
    assert lines() == [access(answer.id, 418, response_bytes=2)]
    assert await counted(app) == ended(418)


async def test_a_catch_all_handler_of_the_application_answers(observe: Observe, lines: Lines) -> None:
    """The application's own handler of `Exception` answers in its shape; the exception counts and is raised on."""
    app = FastAPI()

    @app.exception_handler(Exception)
    async def handle(request: Request, error: Exception) -> Response:
        return PlainTextResponse("sorry", 500)

    @app.get("/")
    async def broken() -> None:
        raise Broken("no")

    observe(app)
    answer = await ask(app)
    assert isinstance(answer.cause, Broken)
    assert (answer.status, answer.body) == (500, b"sorry")
    told, line = lines()
    line, told = (line, told) if line["event"] == "request_processed" else (told, line)
    unhandled(told, answer)
    assert line == access(answer.id, 500, response_bytes=5)
    assert await counted(app) == ended(500, exception="Broken")


async def test_a_raising_exception_handler(observe: Observe, lines: Lines) -> None:
    """Where the application's handler raises itself, the envelope answers all the same, and one line tells."""
    app = FastAPI()

    @app.exception_handler(Exception)
    async def handle(request: Request, error: Exception) -> Response:
        raise Broken("no")

    @app.get("/")
    async def broken() -> None:
        raise ValueError

    observe(app)
    answer = await ask(app)
    assert isinstance(answer.cause, Broken)
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    told, line = lines()
    assert "ValueError" in told["exception"]
    unhandled(told, answer)
    assert line == access(answer.id, 500, response_bytes=len(answer.body))


async def test_an_http_exception(observe: Observe, lines: Lines) -> None:
    """`HTTPException` is an answer: counted by its status, its headers kept, told by one event and the access line."""
    app = FastAPI()

    @app.get("/")
    async def refuse() -> None:
        raise HTTPException(409, "taken", headers={"x-own": "1"})

    observe(app)
    answer = await ask(app)
    assert answer.raised is None
    assert (answer.status, answer.all("x-own")) == (409, ["1"])
    assert answer.json() == {"error": "http_409", "message": "taken", "request_id": answer.id}
    told, line = lines()
    assert (told["event"], told["level"], told["status_code"]) == ("http_exception", "warning", 409)
    assert line == access(answer.id, 409, response_bytes=len(answer.body))
    assert await counted(app) == ended(409)


async def test_a_422(observe: Observe, lines: Lines) -> None:
    """A request that does not validate is an answer like any other: 422, no exception counted."""
    app = FastAPI()

    @app.get("/")
    async def number(n: int) -> int:
        return n

    observe(app)
    answer = await ask(app, query=b"n=seven")
    assert (answer.raised, answer.status, answer.json()["error"]) == (None, 422, "validation_error")
    told, line = lines()
    assert (told["event"], told["level"], len(told["errors"])) == ("validation_error", "warning", 1)
    assert line == access(answer.id, 422, response_bytes=len(answer.body))
    assert await counted(app) == ended(422)


async def test_a_503_from_an_inner_middleware(observe: Observe, lines: Lines) -> None:
    """An answer that never reached a route is counted with its status, and has the id."""

    class Closed:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("closed", 503)(scope, receive, send)

    app = FastAPI()
    app.add_middleware(Closed)
    observe(app)
    answer = await ask(app)
    assert (answer.status, answer.body) == (503, b"closed")
    assert lines() == [access(answer.id, 503, endpoint="unmatched", response_bytes=6)]
    assert await counted(app) == ended(503, endpoint="unmatched")


async def test_a_middleware_that_raises(observe: Observe, lines: Lines) -> None:
    """An exception outside every route is answered, counted, logged once and raised on."""

    class Raises:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                raise Broken("no")
            await self.app(scope, receive, send)

    app = FastAPI()
    app.add_middleware(Raises)
    observe(app)
    answer = await ask(app)
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    told, line = lines()
    unhandled(told, answer)
    assert line == access(answer.id, 500, endpoint="unmatched", response_bytes=len(answer.body))
    assert await counted(app) == ended(500, endpoint="unmatched", exception="Broken")


@pytest.mark.usefixtures("forgotten_streams")
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function MemoryObjectReceiveStream:pytest.PytestUnraisableExceptionWarning"
)
async def test_behind_a_base_http_middleware_an_exception_is_told_once(observe: Observe, lines: Lines) -> None:
    """`BaseHTTPMiddleware` wraps what comes through it; it is still one exception, one line, one count."""

    async def dispatch(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response

    app = FastAPI()
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)

    @app.get("/")
    async def broken() -> None:
        raise Broken("no")

    observe(app)
    answer = await ask(app)
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    told, line = lines()
    unhandled(told, answer)
    assert line == access(answer.id, 500, response_bytes=len(answer.body))
    assert await counted(app) == ended(500, exception="Broken")


async def test_a_mounted_application_that_raises(observe: Observe, lines: Lines) -> None:
    """A mounted application answers in the same shape, and its exception is told once, with the full endpoint."""
    sub = FastAPI()

    @sub.get("/items/{item_id}")
    async def broken(item_id: str) -> None:
        raise Broken("no")

    app = FastAPI()
    app.mount("/sub", sub)
    observe(app)
    answer = await ask(app, path="/sub/items/7")
    assert isinstance(answer.cause, Broken)
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    told, line = lines()
    assert (told["event"], told["path"]) == ("unhandled_exception", "/sub/items/7")
    endpoint = "/sub/items/{item_id}"
    assert line == access(answer.id, 500, path="/sub/items/7", endpoint=endpoint, response_bytes=len(answer.body))
    assert await counted(app) == ended(500, endpoint=endpoint, exception="Broken")


async def test_requests_of_every_outcome_are_one_count_each(observe: Observe) -> None:
    """After good, bad and broken requests, each is counted once, and none is in progress."""
    app = FastAPI()

    @app.get("/{kind}")
    async def any_kind(kind: str) -> None:
        if kind == "broken":
            raise Broken
        if kind == "refused":
            raise HTTPException(401)

    observe(app)
    for kind in ("good", "broken", "refused"):
        await ask(app, path=f"/{kind}")
    await ask(app, "POST", "/good")
    assert await requests(app) == {
        ("GET", "/{kind}", "200"): 1.0,
        ("GET", "/{kind}", "401"): 1.0,
        ("GET", "/{kind}", "500"): 1.0,
        ("POST", "/{kind}", "405"): 1.0,
    }
    assert await samples(app, "http_requests_in_progress") == {
        'http_requests_in_progress{method="GET"}': 0.0,
        'http_requests_in_progress{method="POST"}': 0.0,
    }
