"""Bad input over real sockets, through uvicorn: broken requests, clients that go away, one line for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect

from tests.edge_cases.served import Server, get, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def head(answer: bytes) -> list[str]:
    """Return the status line and the headers, in lower case."""
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1").lower().split("\r\n")


async def test_a_good_request_has_one_line_and_one_id(server: Server) -> None:
    """uvicorn's own access line does not come beside ours, and the id is in the answer once."""
    answer = head(await server.talk(get("/items/1", id="good-1")))
    assert answer[0] == "http/1.1 200 ok"
    assert answer.count("x-request-id: good-1") == 1
    (line,) = await server.lines("good-1")
    assert (line["event"], line["status"], line["endpoint"]) == ("request_processed", 200, "/items/{item}")


async def test_an_exception_has_one_traceback(server: Server) -> None:
    """The exception is raised on to uvicorn, whose own record of it is not written again."""
    answer = await server.talk(get("/broken", id="broken-1"))
    assert head(answer)[0] == "http/1.1 500 internal server error"
    assert b'"request_id":"broken-1"' in answer
    told, line = await server.lines("broken-1")
    assert (told["event"], told["exception_type"]) == ("unhandled_exception", "ValueError")
    assert (line["event"], line["status"]) == ("request_processed", 500)
    assert server.strays == []


async def test_a_nul_in_the_path(server: Server) -> None:
    """An escaped NUL is served like any character, and is escaped in the line."""
    answer = await server.talk(get("/items/a%00b", id="nul-1"))
    assert head(answer)[0] == "http/1.1 200 ok"
    (line,) = await server.lines("nul-1")
    assert line["path"] == "/items/a\x00b"


async def test_a_method_nobody_knows(server: Server) -> None:
    """A made-up method gets an answer with the id."""
    answer = await server.talk(get("/items/1", id="brew-1", method="BREW"))
    assert head(answer)[0] == "http/1.1 405 method not allowed"
    assert b'"request_id":"brew-1"' in answer
    assert [line["event"] for line in await server.lines("brew-1")] == ["http_exception", "request_processed"]


async def test_a_flood_of_headers(server: Server) -> None:
    """What the server lets through is served; what it refuses is refused, and it serves on."""
    many = [f"x-{n}: {'v' * 40}" for n in range(500)]
    assert head(await server.talk(get("/items/1", *many, id="many-1")))[0] == "http/1.1 200 ok"
    too_many = [f"x-{n}: {'v' * 40}" for n in range(5_000)]
    with contextlib.suppress(ConnectionResetError):
        assert not (await server.talk(get("/items/1", *too_many, id="many-2"))).startswith(b"HTTP/1.1 2")
    assert len(await server.lines("many-1")) == 1


async def test_a_body_that_is_no_json(server: Server) -> None:
    """A body of nonsense is a 422 in the one shape."""
    kind = "content-type: application/json"
    answer = await server.talk(get("/orders", kind, id="body-1", method="POST", body=b"\xff{"))
    assert head(answer)[0].startswith(("http/1.1 422", "http/1.1 400"))
    assert b'"request_id":"body-1"' in answer
    assert len(await server.lines("body-1")) == 2


async def test_requests_on_one_connection_keep_apart(server: Server) -> None:
    """Two requests sent at once on one connection have an answer and a line each."""
    first = get("/items/1", id="pipe-1").replace(b"connection: close\r\n", b"")
    answer = await server.talk(first + get("/items/2", id="pipe-2"))
    assert answer.lower().count(b"x-request-id: pipe-1") == answer.lower().count(b"x-request-id: pipe-2") == 1
    assert [len(await server.lines(f"pipe-{n}")) for n in (1, 2)] == [1, 1]


async def leave(server: Server, request: bytes, *, after: bytes = b"") -> None:
    """Send a request, and go away without a word once `after` has come."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(request)
    await writer.drain()
    if after:
        await asyncio.wait_for(reader.readuntil(after), 60)
    writer.transport.abort()


async def test_a_client_that_leaves_before_the_answer(server: Server) -> None:
    """Nobody waits for the answer any more: 499, one line, no exception."""
    _, writer = await asyncio.open_connection(*server.address)
    writer.write(get("/slow", id="left-1"))
    await server.talk(get("/items/1", id="left-0"))  # by then the slow one is being served
    writer.transport.abort()
    (line,) = await server.lines("left-1")
    assert (line["status"], line["level"], line["endpoint"]) == (499, "warning", "/slow")


async def test_a_client_that_leaves_in_its_own_body(server: Server) -> None:
    """A body that breaks off: one line, no exception of the application, and the server says nothing either."""
    whole = get("/orders", "content-type: application/json", id="left-2", method="POST", body=b'{"name": "a"}')
    await leave(server, whole[:-4])
    lines = await server.lines("left-2")
    assert [line["event"] for line in lines if line["event"] != "http_exception"] == ["request_processed"]
    assert lines[-1]["status"] == 499
    assert server.strays == []


async def test_a_client_that_leaves_in_mid_stream(server: Server) -> None:
    """A stream that its reader left ends: it stays 200, one line, `disconnected`."""
    await leave(server, get("/stream", id="left-3"), after=b"data: tick")
    (line,) = await server.lines("left-3")
    assert (line["status"], line["disconnected"], line["level"]) == (200, True, "info")
    assert server.strays == []


async def test_a_websocket_carries_the_id_and_ends_in_one_access_line(server: Server) -> None:
    """The handshake's answer has the id; a client that leaves is no exception."""
    host, port = server.address
    async with connect(f"ws://{host}:{port}/ws", additional_headers={"X-Request-ID": "ws-1"}) as socket:
        assert socket.response is not None
        assert socket.response.headers.get_all("x-request-id") == ["ws-1"]
        await socket.send("hello")
        assert await socket.recv() == "hello"
    (line,) = [line for line in await server.lines("ws-1") if line["logger"] == "belvedere.access"]
    assert (line["method"], line["status"], line["endpoint"]) == ("WEBSOCKET", 101, "/ws")
    assert server.strays == []
