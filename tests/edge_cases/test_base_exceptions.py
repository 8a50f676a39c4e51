"""What an application raises that is no `Exception`: servers answer it with 500, as any other."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI, WebSocket

from tests.drive import Exchange, Socket
from tests.edge_cases.conftest import Lines, Observe
from tests.edge_cases.outcomes import INTERNAL, access, counted, ended


class Stopped(BaseException):
    """As time-outs of greenlets are."""


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Stopped])
@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_it_is_an_unhandled_exception(
    kind: type[BaseException], path: str, observe: Observe, lines: Lines
) -> None:
    """`sys.exit()` in an endpoint is a 500 with id, one traceback and one count, and is raised on as it was."""
    app = FastAPI()

    @app.get("/sync")
    def in_thread() -> None:
        raise kind("no")

    @app.get("/async")
    async def in_loop() -> None:
        raise kind("no")

    observe(app)
    exchange = Exchange(app, path=path)
    with pytest.raises(kind):
        await exchange.run()
    answer = exchange.answer
    assert (answer.status, answer.json()) == (500, {**INTERNAL, "request_id": answer.id})
    thrown, line = lines()
    assert (thrown["event"], thrown["exception_type"]) == ("unhandled_exception", kind.__name__)
    assert thrown["exception"].endswith(f"{kind.__name__}: no")
    assert line == access(answer.id, 500, path=path, endpoint=path, response_bytes=len(answer.body))
    assert await counted(app) == ended(500, endpoint=path, exception=kind.__name__)


async def test_in_a_websocket(observe: Observe, lines: Lines) -> None:
    """A connection alike, before and after it is accepted."""
    app = FastAPI()

    @app.websocket("/{when}")
    async def room(websocket: WebSocket, when: str) -> None:
        if when == "after":
            await websocket.accept()
        raise Stopped("no")

    observe(app)
    for when, status in (("before", 500), ("after", 101)):
        with pytest.raises(Stopped):
            await Socket(app, f"/{when}").run()
        thrown, line = lines()
        assert (thrown["event"], thrown["exception_type"]) == ("unhandled_exception", "Stopped")
        assert (line["event"], line["level"], line["status"]) == ("request_processed", "error", status)


async def test_a_group_that_was_cancelled(observe: Observe, lines: Lines) -> None:
    """What only says that the call is to end is no failure."""
    app = FastAPI()

    @app.get("/")
    async def cancelled() -> None:
        raise BaseExceptionGroup("all", [asyncio.CancelledError(), asyncio.CancelledError()])

    observe(app)
    exchange = Exchange(app)
    with pytest.raises(BaseExceptionGroup):
        await exchange.run()
    assert exchange.answer.messages == []
    (line,) = lines()
    assert line == access(line["request_id"], 499)
