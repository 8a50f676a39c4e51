"""What is logged of errors: each once, with the exception itself, and nothing that is nobody's mistake."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.testclient import TestClient

from belvedere import failures
from belvedere.problems import Problems
from belvedere.settings import Settings
from tests.problems.conftest import INTERNAL, Log, ask, attached, raising


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


async def test_an_exception_after_the_answer_is_logged_once(log: Log) -> None:
    """What background tasks and streams raise is logged once each, whatever was already sent."""
    app = FastAPI()

    def task() -> None:
        raise RuntimeError("too late")

    @app.get("/task")
    async def with_task(tasks: BackgroundTasks) -> None:
        tasks.add_task(task)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> Any:
            yield b"1"
            raise RuntimeError("in the middle")

        return StreamingResponse(chunks())

    with attached(app, log):
        assert (await ask(app, "/task")).status_code == 200
        await ask(app, "/stream")
    assert [line.fields["exception_message"] for line in log] == ["too late", "in the middle"]


async def test_one_exception_object_raised_twice_is_logged_twice(log: Log) -> None:
    """An application that raises the same object for each request has each of them logged."""
    app = raising(RuntimeError("always the same"))
    with attached(app, log):
        await ask(app, "/")
        await ask(app, "/")
    assert len(log) == 2


async def test_a_group_of_one_exception_is_that_one(log: Log) -> None:
    """A task group's wrapping is seen through, in the event's fields and where the same exception comes again."""
    error = RuntimeError("inside")
    app = raising(ExceptionGroup("tasks", [ExceptionGroup("more tasks", [error])]))
    with attached(app, log):
        await ask(app, "/")
    assert [(line.fields["exception_type"], line.fields["exception_message"]) for line in log] == [
        ("RuntimeError", "inside")
    ]


async def test_a_client_that_left_is_nobodys_mistake(log: Log) -> None:
    """Where reading the body fails because the client went away, nothing is logged."""
    app = FastAPI()

    @app.post("/")
    async def root(request: Request) -> None:
        await request.body()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None: ...

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    with attached(app, log), pytest.raises(ClientDisconnect):
        await app(scope, receive, send)
    assert log == []


async def test_an_exception_without_text(log: Log) -> None:
    """An exception whose text cannot be made is logged by its type."""
    app = raising(UnspeakableError())
    with attached(app, log):
        assert (await ask(app, "/")).json() == INTERNAL
    assert (log[0].fields["exception_type"], log[0].fields["exception_message"]) == ("UnspeakableError", "")


async def test_paths_that_are_excluded_log_no_warnings(app: FastAPI, log: Log) -> None:
    """At an excluded path errors of clients are not logged, unhandled exceptions are."""

    @app.get("/orders/{number}")
    async def order(number: int) -> None: ...

    with attached(app, log) as plan:
        plan.excluded_prefixes = ("/",)
        assert (await ask(app, "/nowhere")).status_code == 404
        assert (await ask(app, "/orders/x")).status_code == 422
        await ask(app, "/broken")
    assert [line.event for line in log] == ["unhandled_exception"]


async def test_a_broken_logger_changes_no_answer(app: FastAPI) -> None:
    """What a logger raises is contained and counted."""
    before = failures.counts["problems"]
    with attached(app, object()):  # type: ignore[arg-type]
        assert (await ask(app, "/broken")).json() == INTERNAL
        assert (await ask(app, "/nowhere")).status_code == 404
    assert failures.counts["problems"] == before + 2


def test_websockets_that_fail_are_logged(log: Log) -> None:
    """An exception in a WebSocket is logged once, with the method WEBSOCKET."""
    app = FastAPI()

    @app.websocket("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        raise RuntimeError("broken")

    with attached(app, log), TestClient(app) as client, pytest.raises(RuntimeError), client.websocket_connect("/ws"):
        pass
    assert [(line.event, line.fields["path"], line.fields["method"]) for line in log] == [
        ("unhandled_exception", "/ws", "WEBSOCKET")
    ]


async def test_without_a_request_an_exception_is_logged_all_the_same(log: Log) -> None:
    """An exception outside any request is logged without path and method."""
    error = RuntimeError("job")
    Problems(Settings(), log).failed(None, error)
    fields = {"exception_type": "RuntimeError", "exception_message": "job", "exc_info": error}
    assert log == [("error", "unhandled_exception", fields)]
