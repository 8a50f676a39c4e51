"""A closer hears of a request before the byte that completes its answer is handed to the server, and hears once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware

from belvedere import Host, failures
from belvedere.context import RequestContext
from tests.drive import Exchange, ask, observed
from tests.process import fresh_process

Message = dict[str, Any]


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


class Listener:
    """A part that notes what it hears, and when."""

    feature = "listener"

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    def install(self, host: Host) -> None:
        host.closer(self)

    def uninstall(self) -> None: ...

    def closing(self, request: RequestContext) -> None:
        self.heard.append((request.path, request.status))


async def complete_when_heard(app: Any, part: Listener, method: str, path: str, **scope: Any) -> tuple[int, int]:
    """Serve a request; return at which message its answer was complete, and before which the closer was told.

    An answer is complete as a client counts: with its headers, with `Content-Length` bytes, or with the last message.
    """
    told: list[int] = []
    done: list[int] = []
    body, length = 0, None

    asked = sent = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal sent, body, length
        sent += 1
        told.append(len(part.heard))
        kind = message["type"]
        if kind == "http.response.start":
            headers = dict(message["headers"])
            length = int(headers[b"content-length"]) if b"content-length" in headers else None
            if method == "HEAD" or message["status"] in {204, 304} or length == 0:
                done.append(sent)
        elif kind == "http.response.body":
            body += len(message.get("body", b""))
            if not message.get("more_body", False) or body == length:
                done.append(sent)
        else:
            done.append(sent)

    exchange = Exchange(app, method, path, **scope)
    await asyncio.wait_for(app(exchange.scope, receive, send), 60)
    assert len(part.heard) == 1
    return done[0], told.index(1) + 1


def application(folder: Path) -> FastAPI:
    """Answers of every form that ASGI has."""
    app = FastAPI()

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"12345"

    @app.api_route("/plain", methods=["GET", "HEAD"])
    async def plain() -> dict[str, int]:
        return {"a": 1}

    @app.get("/streamed")
    async def streamed() -> StreamingResponse:
        return StreamingResponse(pieces(3))

    @app.get("/measured")
    async def measured() -> StreamingResponse:
        return StreamingResponse(pieces(3), headers={"Content-Length": "15"})

    @app.get("/empty")
    async def empty() -> Response:
        return Response(b"")

    @app.get("/silent")
    async def silent() -> Response:
        return Response(status_code=204)

    @app.get("/unchanged")
    async def unchanged() -> Response:
        return Response(status_code=304)

    (folder / "file.txt").write_bytes(b"x" * 200_000)

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(folder / "file.txt")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    return app


FORMS = ["/plain", "/streamed", "/measured", "/empty", "/silent", "/unchanged", "/file"]


async def passing(request: Request, call_next: Callable[[Request], Any]) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("around", ["nothing", "base", "gzip"])
@pytest.mark.parametrize("path", FORMS)
async def test_told_before_the_answer_is_complete(path: str, around: str, tmp_path: Path) -> None:
    """Whatever the form of the body, and whoever sends it on, the closer is told at the message that completes it."""
    app = application(tmp_path)
    if around == "base":
        app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    if around == "gzip":
        app.add_middleware(GZipMiddleware, minimum_size=1)
    part = Listener()
    with observed(app, part):
        headers = [(b"accept-encoding", b"gzip")] if around == "gzip" else []
        complete, told = await complete_when_heard(app, part, "GET", path, headers=headers)
    assert told == complete


@pytest.mark.parametrize("path", ["/plain", "/nowhere"])
async def test_told_with_the_headers_of_a_head(path: str, tmp_path: Path) -> None:
    """HEAD is answered with its headers."""
    app, part = application(tmp_path), Listener()
    with observed(app, part):
        complete, told = await complete_when_heard(app, part, "HEAD", path)
    assert told == complete == 1


async def test_told_before_the_server_sends_a_file_by_itself(tmp_path: Path) -> None:
    """With the extension `http.response.pathsend` there is one message for the body, and the closer is told before."""
    app, part = application(tmp_path), Listener()
    with observed(app, part):
        complete, told = await complete_when_heard(app, part, "GET", "/file", extensions={"http.response.pathsend": {}})
    assert told == complete


async def test_told_before_trailers_end() -> None:
    """Trailers complete an answer that has them, and not the body before."""

    async def trailing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"1"})
        await send({"type": "http.response.trailers", "headers": [], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": []})

    app, part = FastAPI(), Listener()
    app.mount("/trailing", trailing)
    with observed(app, part):
        answer = await ask(app, path="/trailing/")
    assert part.heard == [("/trailing/", 200)]
    assert len(answer.messages) == 4


@pytest.mark.parametrize("headers", [{}, {"headers": []}])
async def test_told_before_an_answer_without_headers_is_complete(headers: Message) -> None:
    """ASGI lets an answer do without headers; the closer is told in time, also where Belvedere adds none but the id."""

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, **headers})
        await send({"type": "http.response.body"})

    app, part = FastAPI(), Listener()
    app.mount("/bare", bare)
    with observed(app, part, headers=None):
        complete, told = await complete_when_heard(app, part, "GET", "/bare/")
    assert told == complete == 2


async def test_told_once_whatever_happens(tmp_path: Path) -> None:
    """A 404, a 500, a probe and an answer without an end are heard of once each, with the status that was sent."""
    app, part = application(tmp_path), Listener()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": ((b"a", b"b") for _ in range(1))})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})

    async def mute(scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing."""

    app.mount("/endless", endless)
    app.mount("/mute", mute)
    with observed(app, part):
        for path in ("/nowhere", "/broken", "/healthz", "/endless/", "/mute/"):
            await ask(app, path=path)
    assert part.heard == [("/nowhere", 404), ("/broken", 500), ("/healthz", 200), ("/endless/", 202), ("/mute/", 500)]


async def test_a_client_that_left_is_heard_of_with_499(tmp_path: Path) -> None:
    """Whoever leaves before the answer is heard of with 499: whether it is answered in vain, or not at all."""
    app, part = FastAPI(), Listener()
    left = asyncio.Event()

    @app.get("/waits")
    async def waits(request: Request) -> PlainTextResponse:
        await left.wait()
        while await request.receive() != {"type": "http.disconnect"}:
            pass
        return PlainTextResponse("nobody reads this")

    @app.get("/cancelled")
    async def cancelled() -> None:
        await asyncio.Event().wait()

    with observed(app, part):
        exchange = Exchange(app, path="/waits")
        task = exchange.start()
        exchange.disconnect()
        left.set()
        await task
        task = Exchange(app, path="/cancelled").start()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
    assert part.heard == [("/waits", 499), ("/cancelled", 499)]


async def test_a_closer_that_fails_harms_nobody(tmp_path: Path) -> None:
    """What a closer raises is counted under its feature, and the answer is as it was."""

    class Failing(Listener):
        feature = "bad_observer"

        def closing(self, request: RequestContext) -> None:
            raise RuntimeError("not here")

    app, part = application(tmp_path), Listener()
    with observed(app, Failing(), part):
        answer = await ask(app, path="/plain")
        assert failures.counts["bad_observer"] == 1
    assert answer.status == 200
    assert part.heard == [("/plain", 200)]
