"""What is answered where an application fails or refuses: one shape, whatever raised it and wherever."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from belvedere.problems import Problems
from belvedere.settings import Settings
from tests.problems.conftest import ID, INTERNAL, Log, ask, attached, raising


async def test_an_application_behind_a_host_has_the_same_shape(log: Log) -> None:
    """What a `Host` route leads to answers as what is mounted does."""
    app = FastAPI()
    app.host("shop.test", raising(RuntimeError("password=hunter2")))
    with attached(app, log):
        response = await ask(app, "/")
    assert (response.status_code, response.json()) == (500, INTERNAL)


@pytest.mark.parametrize("prefix", ["", "/mounted"])
async def test_an_unhandled_exception_is_a_500_that_tells_nothing(app: FastAPI, log: Log, prefix: str) -> None:
    """An exception that nobody handles yields the 500 envelope, and one event with the exception itself."""
    with attached(app, log):
        response = await ask(app, f"{prefix}/broken")
    assert (response.status_code, response.json()) == (500, INTERNAL)
    assert response.headers["content-type"] == "application/json"
    ((level, event, fields),) = log
    error = fields.pop("exc_info")
    assert (level, event, fields) == (
        "error",
        "unhandled_exception",
        {
            "exception_type": "RuntimeError",
            "exception_message": "password=hunter2",
            "path": f"{prefix}/broken",
            "method": "GET",
        },
    )
    assert isinstance(error, RuntimeError)
    assert error.__traceback__ is not None


@pytest.mark.parametrize("prefix", ["", "/mounted"])
@pytest.mark.parametrize(
    ("call", "status", "message"),
    [
        ("GET /nowhere", 404, "Not Found"),
        ("POST /broken", 405, "Method Not Allowed"),
        ("GET /forbidden", 403, "Forbidden"),
    ],
)
async def test_http_errors_have_one_shape(
    app: FastAPI, log: Log, prefix: str, *, call: str, status: int, message: str
) -> None:
    """404, 405 and any `HTTPException` have one envelope, at the top and in mounted applications; each is a warning."""
    method, path = call.split()
    with attached(app, log):
        response = await ask(app, prefix + path, method)
    assert response.status_code == status
    assert response.json() == {"error": f"http_{status}", "message": message, "request_id": ID}
    assert log == [("warning", "http_exception", {"status_code": status, "path": prefix + path, "method": method})]


async def test_a_starlette_application_has_the_same_shape(log: Log) -> None:
    """Plain Starlette, and what is mounted in it, answer in the envelope too."""

    async def broken(_: Any) -> Any:
        raise RuntimeError

    app = Starlette(routes=[Mount("/mounted", Starlette())])
    app.add_route("/broken", broken)
    with attached(app, log):
        assert (await ask(app, "/broken")).json() == INTERNAL
        for path in ("/nowhere", "/mounted/nowhere"):
            assert (await ask(app, path)).json() == {"error": "http_404", "message": "Not Found", "request_id": ID}


@pytest.mark.parametrize(
    ("detail", "body"),
    [
        ("No such order", {"message": "No such order"}),
        ("", {"message": "Conflict"}),
        ({"order": 7}, {"message": "Conflict", "details": {"order": 7}}),
        ([1, {2}], {"message": "Conflict", "details": [1, [2]]}),
        ({"size": 2**70}, {"message": "Conflict", "details": {"size": 2**70}}),
        ({"name": "\ud800"}, {"message": "Conflict", "details": {"name": "\ud800"}}),
        ({"cause": ValueError("hunter2")}, {"message": "Conflict", "details": {"cause": "ValueError"}}),
        (
            {"status": HTTPStatus.OK, "url": httpx.URL("/x")},
            {"message": "Conflict", "details": {"status": 200, "url": "/x"}},
        ),
        ({"size": 2**70, "ratio": float("nan")}, {"message": "Conflict"}),
    ],
)
async def test_the_detail_of_an_http_exception(detail: Any, body: dict[str, Any]) -> None:
    """A detail that is text is the message; any other is in `details`, as far as JSON goes, beside the phrase."""
    app = raising(HTTPException(409, detail))
    with attached(app):
        response = await ask(app, "/")
    assert (response.status_code, response.json()) == (409, {"error": "http_409", **body, "request_id": ID})


async def test_a_pydantic_detail() -> None:
    """A model as detail is shown as its fields."""
    from pydantic import BaseModel

    class Order(BaseModel):
        number: int

    app = raising(HTTPException(409, Order(number=7)))
    with attached(app):
        assert (await ask(app, "/")).json()["details"] == {"number": 7}


@pytest.mark.parametrize(
    ("status", "message"),
    [(429, "Too Many Requests"), (418, "I'm a Teapot"), (413, "Content Too Large"), (499, "Error")],
)
async def test_the_phrase_of_a_status(status: int, message: str) -> None:
    """Where the detail is no text, the message is the name that RFC 9110 has for the status."""
    app = raising(HTTPException(status, {}))
    with attached(app):
        response = await ask(app, "/")
    assert response.json() == {"error": f"http_{status}", "message": message, "details": {}, "request_id": ID}


async def test_headers_of_an_http_exception_are_kept() -> None:
    """What an `HTTPException` brings is sent, but for headers that speak of another body."""
    brought: Any = {
        "WWW-Authenticate": "Bearer",
        "Retry-After": 30,
        "Vary": "Origin",
        "Content-Type": "text/plain",
        "Content-Length": "3",
    }
    app = raising(HTTPException(401, headers=brought))
    with attached(app):
        response = await ask(app, "/")
    body = b'{"error":"http_401","message":"Unauthorized","request_id":"test-1"}'
    assert response.content == body
    assert sorted(response.headers.multi_items()) == [
        ("content-length", str(len(body))),
        ("content-type", "application/json"),
        ("retry-after", "30"),
        ("vary", "Origin, Accept"),
        ("www-authenticate", "Bearer"),
        ("x-request-id", ID),
    ]


async def test_a_405_names_the_methods_that_are_allowed(app: FastAPI) -> None:
    """The `Allow` header of a 405 is kept."""
    with attached(app):
        assert (await ask(app, "/broken", "POST")).headers["allow"] == "GET"


@pytest.mark.parametrize(("status", "length"), [(204, None), (205, "0"), (304, None)])
async def test_statuses_without_a_body(log: Log, status: int, length: str | None) -> None:
    """204, 205 and 304 have no body, keep their headers, and are no errors to be logged."""
    app = raising(HTTPException(status, headers={"ETag": '"1"'}))
    with attached(app, log):
        response = await ask(app, "/")
    assert (response.status_code, response.content) == (status, b"")
    assert (response.headers["etag"], response.headers.get("content-length")) == ('"1"', length)
    assert log == []


async def test_head_has_the_length_of_get_and_no_body() -> None:
    """A failing HEAD tells what GET would, without a body."""
    app = FastAPI()
    app.add_route("/", raising_route, methods=["GET", "HEAD"])
    with attached(app):
        head, whole = await ask(app, "/", "HEAD"), await ask(app, "/")
        missing = await ask(app, "/nowhere", "HEAD")
    assert (head.status_code, head.content, head.headers) == (500, b"", whole.headers)
    assert (missing.status_code, missing.content) == (404, b"")


async def raising_route(_: Any) -> Any:
    raise RuntimeError


async def test_a_handler_of_the_applications_own_wins() -> None:
    """Where the application handles an exception itself, its answer stands; where its handler fails, ours does."""
    app = FastAPI()

    @app.exception_handler(StarletteHTTPException)
    async def own(_: Any, error: StarletteHTTPException) -> PlainTextResponse:
        if error.status_code == 403:
            raise RuntimeError("the handler is broken")
        return PlainTextResponse("mine", error.status_code)

    @app.exception_handler(500)
    async def mine(_: Any, error: Exception) -> PlainTextResponse:
        raise error

    @app.get("/forbidden")
    async def forbidden() -> None:
        raise HTTPException(403)

    log = Log()
    with attached(app, log):
        missing = await ask(app, "/nowhere")
        assert (missing.status_code, missing.text) == (404, "mine")
        broken = await ask(app, "/forbidden")
    assert (broken.status_code, broken.json()) == (500, INTERNAL)
    assert broken.headers["content-length"] == str(len(broken.content))
    assert [line.event for line in log] == ["unhandled_exception"]


async def test_an_application_that_answers_nothing() -> None:
    """No answer at all is a 500 envelope, without a body for HEAD."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    app = Starlette(routes=[Mount("/", silent)])
    with attached(app):
        response, head = await ask(app, "/"), await ask(app, "/", "HEAD")
    assert (response.status_code, response.json()) == (500, INTERNAL)
    assert (head.status_code, head.content, head.headers) == (500, b"", response.headers)


async def test_a_websocket_that_is_refused_by_an_http_exception(log: Log) -> None:
    """An `HTTPException` in a WebSocket is answered in the same shape, where the server can."""
    handler = Problems(Settings(), log).handlers[StarletteHTTPException]

    async def nothing() -> Any:
        raise AssertionError

    websocket = WebSocket({"type": "websocket", "path": "/ws", "headers": []}, nothing, nothing)  # type: ignore[arg-type]
    response = await handler(websocket, HTTPException(403))
    assert (response.status_code, response.body) == (
        403,
        b'{"error":"http_403","message":"Forbidden","request_id":null}',
    )


async def test_switched_off_nothing_is_handled(app: FastAPI, log: Log) -> None:
    """With problems off the framework answers as it does, and exceptions are still logged."""
    before = app.openapi()
    with attached(app, log, problems=None):
        assert (await ask(app, "/nowhere")).json() == {"detail": "Not Found"}
        response = await ask(app, "/broken")
        assert app.openapi() is before
    assert response.status_code == 500
    assert b"internal_server_error" not in response.content
    assert [line.event for line in log] == ["unhandled_exception"]

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return None

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with attached(starlette := Starlette(routes=[Mount("/", silent)]), problems=None):
        await starlette(scope, silent, send)  # type: ignore[arg-type]
    assert sent == []
