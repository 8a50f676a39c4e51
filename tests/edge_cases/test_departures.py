"""Lifecycle: clients that leave, requests that are cancelled, answers that never come or never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from tests.drive import Exchange, ask
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.outcomes import INTERNAL, Broken, access, counted, ended, gone, unhandled


async def test_a_cancelled_request(observe: Observe, lines: Lines) -> None:
    """A request that the server cancels counts as 499, is logged once, and stays cancelled."""
    entered = asyncio.Event()
    app = FastAPI()

    @app.get("/")
    async def slow() -> None:
        entered.set()
        await asyncio.Event().wait()

    observe(app)
    task = Exchange(app).start()
    await entered.wait()
    task.cancel()
    answer = await task
    assert isinstance(answer.raised, asyncio.CancelledError)
    assert answer.messages == []
    (line,) = lines()
    assert line == access(line["request_id"], 499)
    assert await counted(app) == ended(499)


@pytest.mark.parametrize("gone_raises", [False, True])
async def test_a_client_that_leaves_before_the_answer(observe: Observe, lines: Lines, gone_raises: bool) -> None:
    """Whoever leaves before the headers is a 499, whatever the application then sends, and nobody's exception."""
    entered = asyncio.Event()
    app = FastAPI()

    @app.get("/")
    async def slow(request: Request) -> Response:
        entered.set()
        await gone(request)
        return PlainTextResponse("too late")

    observe(app)
    exchange = Exchange(app, gone_raises=gone_raises)
    task = exchange.start()
    await entered.wait()
    exchange.disconnect()
    await task
    (line,) = lines()
    assert line == access(line["request_id"], 499, response_bytes=line["response_bytes"])
    assert await counted(app) == ended(499)


async def test_an_error_of_a_database_after_the_client_left(observe: Observe, lines: Lines) -> None:
    """An `OSError` that the application itself ran into is told with its traceback, though nobody is there to read."""
    entered = asyncio.Event()
    app = FastAPI()

    @app.get("/")
    async def slow(request: Request) -> None:
        entered.set()
        await gone(request)
        raise ConnectionRefusedError("no database")

    observe(app)
    exchange = Exchange(app)
    task = exchange.start()
    await entered.wait()
    exchange.disconnect()
    assert isinstance((await task).cause, ConnectionRefusedError)
    told, line = lines()
    assert (told["event"], told["exception_message"]) == ("unhandled_exception", "no database")
    assert line["status"] == 499
    assert await counted(app) == ended(499, exception="ConnectionRefusedError")


async def test_a_client_that_leaves_before_its_body_is_read(observe: Observe, lines: Lines) -> None:
    """Whoever leaves while sending is a 499: one line, no exception of the application."""
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    observe(app)
    exchange = Exchange(app, "POST", body=[])
    exchange.disconnect()
    await exchange.run()
    (line,) = lines()
    assert line == access(line["request_id"], 499, method="POST", response_bytes=line["response_bytes"])
    assert await counted(app) == ended(499, method="POST")


@pytest.mark.parametrize("gone_raises", [False, True])
async def test_a_client_that_leaves_in_mid_stream(observe: Observe, lines: Lines, gone_raises: bool) -> None:
    """What was begun with 200 stays 200 when the client leaves; the line says `disconnected`, nothing else is told."""
    app = FastAPI()

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"tick"
            await asyncio.sleep(0)

    app.get("/")(lambda: StreamingResponse(chunks()))
    observe(app)
    exchange = Exchange(
        app, gone_raises=gone_raises, asgi={"version": "3.0", "spec_version": "2.4" if gone_raises else "2.3"}
    )
    task = exchange.start()
    await exchange.sent(3)
    exchange.disconnect()
    answer = await task
    assert answer.status == 200
    (line,) = lines()
    assert line == access(answer.id, 200, disconnected=True, response_bytes=line["response_bytes"])
    assert await counted(app) == ended(200)


async def test_a_client_that_leaves_after_the_end(observe: Observe, lines: Lines) -> None:
    """An answer that was sent whole stays 200 when the client leaves during a background task."""
    done = asyncio.Event()
    app = FastAPI()

    async def later(request: Request) -> None:
        await gone(request)
        done.set()

    @app.get("/")
    async def answered(request: Request, tasks: BackgroundTasks) -> None:
        tasks.add_task(later, request)

    observe(app)
    exchange = Exchange(app)
    task = exchange.start()
    await exchange.sent(2)
    exchange.disconnect()
    answer = await task
    assert done.is_set()
    assert lines() == [access(answer.id, 200, response_bytes=4)]
    assert await counted(app) == ended(200)


async def test_a_background_task_that_raises(observe: Observe, lines: Lines) -> None:
    """The answer was sent and counted before: the exception is logged once and raised on, the request stays good."""
    app = FastAPI()

    async def later() -> None:
        raise Broken("no")

    @app.get("/")
    async def answered(tasks: BackgroundTasks) -> None:
        tasks.add_task(later)

    observe(app)
    answer = await ask(app)
    assert isinstance(answer.cause, Broken)
    line, told = lines()
    unhandled(told, answer)
    assert line == access(answer.id, 200, response_bytes=4)
    assert await counted(app) == ended(200)


async def test_no_response_at_all(observe: Observe, lines: Lines) -> None:
    """An application that returns without an answer gets one: the envelope with the id, counted as 500."""
    app = FastAPI()

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    app.mount("/raw", silent)
    observe(app)
    answer = await ask(app, path="/raw/x")
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    assert lines() == [access(answer.id, 500, path="/raw/x", endpoint="/raw/{path}", response_bytes=len(answer.body))]
    assert await counted(app) == ended(500, endpoint="/raw/{path}")


async def test_an_answer_that_is_never_finished(observe: Observe, lines: Lines) -> None:
    """A body without an end is counted once the application has returned."""
    app = FastAPI()

    async def unfinished(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    app.mount("/raw", unfinished)
    observe(app)
    answer = await ask(app, path="/raw/x")
    assert lines() == [access(answer.id, 200, path="/raw/x", endpoint="/raw/{path}", response_bytes=4)]
    assert await counted(app) == ended(200, endpoint="/raw/{path}")
