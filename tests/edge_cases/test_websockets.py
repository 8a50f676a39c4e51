"""WebSockets: however a connection ends, it is counted once, logged once, and no longer active."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from starlette.responses import PlainTextResponse

from tests.drive import Socket, samples
from tests.edge_cases.conftest import Lines, Observe


class Broken(Exception):  # noqa: N818 - it is what a test breaks, and no error of ours
    """What an application raises."""


async def counted(app: Any) -> dict[str, float]:
    """Return connections, exceptions, and whatever of HTTP there should be none of."""
    return await samples(app, "websocket_", "http_requests", "http_exceptions")


def connections(
    outcomes: dict[str, float], *, endpoint: str = "/ws/{room}", active: float | None = None
) -> dict[str, float]:
    """Return what is counted after connections with these outcomes."""
    expected = {
        f'websocket_connections_total{{endpoint="{endpoint}",outcome="{outcome}"}}': count
        for outcome, count in outcomes.items()
    }
    if active is not None:
        expected[f'websocket_connections_active{{endpoint="{endpoint}"}}'] = active
    return expected


def access(line: dict[str, Any], status: int, **more: Any) -> dict[str, Any]:
    """Return the access line of a connection to room 1."""
    return {
        "level": "error" if status >= 500 else "warning" if status >= 400 else "info",
        "logger": "belvedere.access",
        "event": "request_processed",
        "service": "shop",
        "environment": "local",
        "request_id": line["request_id"],
        "trace_id": line["request_id"].replace("-", ""),
        "method": "WEBSOCKET",
        "path": "/ws/1",
        "endpoint": "/ws/{room}",
        "status": status,
        "response_bytes": 0,
        "client": "127.0.0.1",
        **more,
    }


@pytest.fixture
def app() -> FastAPI:
    """An application whose rooms answer by their names."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def echo(socket: WebSocket, room: str) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    return app


async def test_an_accepted_connection_carries_the_id(app: FastAPI, observe: Observe) -> None:
    """The handshake's answer has the id and the security headers, as a response has."""
    observe(app)
    socket = Socket(app, "/ws/1", headers=[(b"x-request-id", b"mine")])
    task = socket.start()
    await socket.sent(1)
    socket.leave()
    answer = await task
    assert answer.headers == [
        ("x-request-id", "mine"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ]


async def test_a_connection_is_active_until_the_client_leaves(app: FastAPI, observe: Observe, lines: Lines) -> None:
    """A client that leaves is no failure, though the endpoint sees an exception: one `accepted`, one line."""
    observe(app)
    socket = Socket(app, "/ws/1")
    task = socket.start()
    socket.say("hello")
    assert (await socket.sent(2))[1] == {"type": "websocket.send", "text": "hello"}
    assert await counted(app) == connections({"accepted": 1.0}, active=1.0)
    socket.leave()
    await task
    assert await counted(app) == connections({"accepted": 1.0}, active=0.0)
    (line,) = lines()
    assert line == access(line, 101, disconnected=True)


async def test_a_connection_accepted_before_its_route_is_known(app: FastAPI, observe: Observe) -> None:
    """What is counted up under one endpoint is counted down under the same."""

    class Accepting:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def sent(message: Any) -> None:
                if message["type"] != "websocket.accept":
                    await send(message)

            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
            await self.app(scope, receive, sent)

    app.add_middleware(Accepting)
    observe(app)
    socket = Socket(app, "/ws/1")
    task = socket.start()
    await socket.sent(1)
    socket.leave()
    await task
    assert await counted(app) == connections({"accepted": 1.0}, endpoint="unmatched", active=0.0)


async def test_a_connection_that_the_application_closes(observe: Observe, lines: Lines) -> None:
    """An endpoint that closes and returns ends its connection in order."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def close(socket: WebSocket, room: str) -> None:
        await socket.accept()
        await socket.close(4000)

    observe(app)
    await Socket(app, "/ws/1").run()
    assert await counted(app) == connections({"accepted": 1.0}, active=0.0)
    (line,) = lines()
    assert line == access(line, 101)


async def test_a_connection_refused_by_closing(observe: Observe, lines: Lines) -> None:
    """Closed before it was accepted: the server answers 403, which is what is logged; nothing is active."""
    app = FastAPI()

    async def nobody(socket: WebSocket) -> None:
        raise WebSocketException(1008)

    @app.websocket("/ws/{room}", dependencies=[Depends(nobody)])
    async def never(socket: WebSocket, room: str) -> None:
        raise AssertionError

    observe(app)
    answer = await Socket(app, "/ws/1").run()
    assert [message["type"] for message in answer.messages] == ["websocket.close"]
    assert answer.raised is None
    assert await counted(app) == connections({"refused": 1.0})
    (line,) = lines()
    assert line == access(line, 403)


async def test_a_connection_refused_with_a_response(observe: Observe, lines: Lines) -> None:
    """A refusal by an HTTP response is counted as refused, logged with its status, and carries the id."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def deny(socket: WebSocket, room: str) -> None:
        await socket.send_denial_response(PlainTextResponse("no", 429))

    observe(app)
    answer = await Socket(app, "/ws/1", headers=[(b"x-request-id", b"mine")]).run()
    assert (answer.status, answer.id, answer.body) == (429, "mine", b"no")
    assert await counted(app) == connections({"refused": 1.0})
    (line,) = lines()
    assert line == access(line, 429, trace_id="mine", response_bytes=line["response_bytes"])


async def test_a_path_without_a_route_is_one_series(observe: Observe) -> None:
    """Connections to paths nobody serves are refused under one endpoint."""
    app = FastAPI()
    observe(app)
    for number in range(50):
        await Socket(app, f"/nothing/{number}").run()
    assert await counted(app) == connections({"refused": 50.0}, endpoint="unmatched")


async def test_a_connection_that_breaks_before_it_is_accepted(observe: Observe, lines: Lines) -> None:
    """An exception before the handshake's answer: failed, one traceback, an access line of 500, raised on."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def broken(socket: WebSocket, room: str) -> None:
        raise Broken

    observe(app)
    answer = await Socket(app, "/ws/1").run()
    assert isinstance(answer.raised, Broken)
    assert await counted(app) == {
        **connections({"failed": 1.0}),
        'http_exceptions_total{method="WEBSOCKET",endpoint="/ws/{room}",exception="Broken"}': 1.0,
    }
    told, line = lines()
    assert (told["event"], told["exception_type"], told["request_id"]) == (
        "unhandled_exception",
        "Broken",
        line["request_id"],
    )
    assert line == access(line, 500)


@pytest.mark.parametrize(("error", "status"), [(OSError("nobody is listening"), 499), (Broken(), 500)])
async def test_a_connection_that_breaks_while_it_is_accepted(
    app: FastAPI, observe: Observe, lines: Lines, error: Exception, status: int
) -> None:
    """An acceptance that the server cannot send: never accepted and never active, so that `active` stays at 0."""
    observe(app)

    async def cannot_send(message: Any) -> None:
        raise error

    incoming = asyncio.Queue[Any]()
    incoming.put_nowait({"type": "websocket.connect"})
    with pytest.raises(type(error)):
        await app(Socket(app, "/ws/1").scope, incoming.get, cannot_send)
    found = await samples(app, "websocket_")
    assert found == connections({"failed" if status == 500 else "refused": 1.0})
    (line,) = lines("request_processed")
    assert line == access(line, status)


async def test_a_connection_that_breaks_while_it_is_open(observe: Observe, lines: Lines) -> None:
    """An exception on an open connection: accepted and failed, none active, one traceback, raised on."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def broken(socket: WebSocket, room: str) -> None:
        await socket.accept()
        raise Broken

    observe(app)
    answer = await Socket(app, "/ws/1").run()
    assert isinstance(answer.raised, Broken)
    assert await counted(app) == {
        **connections({"accepted": 1.0, "failed": 1.0}, active=0.0),
        'http_exceptions_total{method="WEBSOCKET",endpoint="/ws/{room}",exception="Broken"}': 1.0,
    }
    told, line = lines()
    assert (told["event"], told["exception_type"]) == ("unhandled_exception", "Broken")
    assert line == access(line, 101, level="error")


async def test_an_exception_after_the_client_left_is_still_one(observe: Observe, lines: Lines) -> None:
    """What an endpoint breaks while it cleans up is told, though its client has gone."""
    app = FastAPI()

    @app.websocket("/ws/{room}")
    async def broken(socket: WebSocket, room: str) -> None:
        await socket.accept()
        await socket.receive()
        raise Broken

    observe(app)
    socket = Socket(app, "/ws/1")
    socket.leave()
    await socket.run()
    told, line = lines()
    assert (told["event"], told["exception_type"]) == ("unhandled_exception", "Broken")
    assert line == access(line, 101, level="error", disconnected=True)


async def test_a_cancelled_connection_is_no_longer_active(app: FastAPI, observe: Observe, lines: Lines) -> None:
    """A connection that the server cancels ends without a failure."""
    observe(app)
    socket = Socket(app, "/ws/1")
    task = socket.start()
    await socket.sent(1)
    task.cancel()
    assert isinstance((await task).raised, asyncio.CancelledError)
    assert await counted(app) == connections({"accepted": 1.0}, active=0.0)
    (line,) = lines()
    assert line == access(line, 101)


async def test_the_id_is_visible_inside_a_connection(observe: Observe) -> None:
    """`request_id()` and the connection's state have the id for as long as it is open."""
    import belvedere

    app = FastAPI()

    @app.websocket("/ws")
    async def tell(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json([belvedere.request_id(), socket.state.request_id, socket.state.trace_id])
        await socket.close()

    observe(app)
    answer = await Socket(app, "/ws", headers=[(b"x-request-id", b"mine")]).run()
    assert answer.messages[1]["text"] == '["mine","mine","mine"]'


async def test_an_excluded_path_leaves_nothing(app: FastAPI, observe: Observe, lines: Lines) -> None:
    """A connection to an excluded path carries the id, and is in no line and no metric."""
    observe(app, requests={"exclude": ["/ws/*", "/metrics"]})
    socket = Socket(app, "/ws/1", headers=[(b"x-request-id", b"mine")])
    socket.leave()
    answer = await socket.run()
    assert answer.all("x-request-id") == ["mine"]
    assert (await counted(app), lines()) == ({}, [])
