"""Drives an ASGI application as a server does, byte for byte, and reads back what leaves the process.

httpx tidies requests up; what is tested here is often what it would refuse to send: raw headers, early disconnects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import belvedere
from belvedere import failures
from belvedere.logs import output

Message = dict[str, Any]
Scope = dict[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
RawHeaders = Sequence[tuple[bytes, bytes]]

DEADLINE = 60.0
"""Seconds after which something awaited is taken as never coming."""


@contextmanager
def observed(app: Any, *parts: belvedere.Part, **settings: Any) -> Iterator[belvedere.Observability]:
    """Observe `app` as a service called `shop` that logs JSON, and take everything off again.

    No feature of Belvedere may fail meanwhile, whatever the application does.
    """
    before = failures.counts.copy()
    settings = {"service": "shop", "logs": {"format": "json"}, **settings}
    observability = belvedere.observe(app, *parts, settings=belvedere.Settings(**settings))
    try:
        yield observability
    finally:
        observability.remove()
    assert set(failures.counts - before) <= {"bad_observer"}


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return the log lines since the last call, without waiting for the turn of the loop that would write them."""
    if output.active is not None:
        output.active.writer.flush()
    return [json.loads(line) for line in capsys.readouterr().out.split("\n") if line]


@dataclass
class Answer:
    """What an application sent over HTTP, and what it raised afterwards or instead."""

    messages: list[Message] = field(default_factory=list)
    raised: BaseException | None = None

    @property
    def status(self) -> int | None:
        """The status, `None` if no answer was begun."""
        return next(
            (message["status"] for message in self.messages if message["type"].endswith("response.start")), None
        )

    @property
    def headers(self) -> list[tuple[str, str]]:
        """All headers, in the order in which they were sent."""
        start = next(message for message in self.messages if message["type"].endswith(("response.start", "accept")))
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def id(self) -> str:
        """The one `X-Request-ID` of the answer."""
        (value,) = self.all("x-request-id")
        return value

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def cause(self) -> BaseException | None:
        """What was raised, out of the groups of one into which older versions of Starlette put it."""
        error = self.raised
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        return error

    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """One HTTP request, as slow and as impolite as a test wants it.

    Args:
        app: the application.
        method: as it stands in the request line.
        path: decoded, as servers hand it over.
        query: the raw query string.
        headers: names in lower case, as servers hand them over.
        body: the chunks of the request's body.
        client: address and port of the other side.
        gone_raises: `send` raises `OSError` once the client has left, as ASGI 2.4 says.
        scope: further keys of the scope.
    """

    def __init__(
        self,
        app: Any,
        method: str = "GET",
        path: str = "/",
        *,
        query: bytes = b"",
        headers: RawHeaders = (),
        body: Iterable[bytes] | bytes = b"",
        client: tuple[str, int] | None = ("127.0.0.1", 40_000),
        gone_raises: bool = False,
        **scope: Any,
    ) -> None:
        self.answer = Answer()
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": query,
            "root_path": "",
            "headers": list(headers),
            "client": client,
            "server": ("127.0.0.1", 80),
            **scope,
        }
        self._app = app
        self._chunks = [body] if isinstance(body, bytes) else list(body)
        self._gone = asyncio.Event()
        self._gone_raises = gone_raises
        self._progress = asyncio.Condition()

    async def run(self) -> Answer:
        """Serve the request to its end in at most `DEADLINE`."""
        async with asyncio.timeout(DEADLINE):
            return await self.serve()

    async def serve(self) -> Answer:
        """Serve the request to its end, in the very context of the caller."""
        try:
            await self._app(self.scope, self._receive, self._send)
        except (Exception, asyncio.CancelledError) as error:
            self.answer.raised = error
        return self.answer

    def start(self) -> asyncio.Task[Answer]:
        """Serve the request beside the test."""
        return asyncio.create_task(self.run())

    def disconnect(self) -> None:
        """Have the client go away."""
        self._gone.set()

    async def sent(self, count: int) -> list[Message]:
        """Return all messages sent so far, once there are `count`."""
        async with asyncio.timeout(DEADLINE), self._progress:
            await self._progress.wait_for(lambda: len(self.answer.messages) >= count)
        return self.answer.messages

    async def _receive(self) -> Message:
        if self._chunks:
            chunk = self._chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(self._chunks)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set() and self._gone_raises:
            raise OSError("nobody is listening")
        async with self._progress:
            self.answer.messages.append(message)
            self._progress.notify_all()


async def ask(app: Any, method: str = "GET", path: str = "/", **options: Any) -> Answer:
    """Serve one request to its end; options are those of `Exchange`."""
    return await Exchange(app, method, path, **options).run()


class Socket:
    """One WebSocket connection: what the client sends is queued, what the application sends is kept."""

    def __init__(self, app: Any, path: str, *, headers: RawHeaders = (), **scope: Any) -> None:
        self.answer = Answer()
        self.scope: Scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
            **scope,
        }
        self._app = app
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._incoming.put_nowait({"type": "websocket.connect"})
        self._progress = asyncio.Condition()

    def say(self, text: str) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, code: int = 1000) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def run(self) -> Answer:
        """Serve the connection to its end."""
        try:
            await asyncio.wait_for(self._app(self.scope, self._incoming.get, self._send), DEADLINE)
        except (Exception, asyncio.CancelledError) as error:
            self.answer.raised = error
        return self.answer

    def start(self) -> asyncio.Task[Answer]:
        return asyncio.create_task(self.run())

    async def sent(self, count: int) -> list[Message]:
        """Return all messages sent so far, once there are `count`."""
        async with asyncio.timeout(DEADLINE), self._progress:
            await self._progress.wait_for(lambda: len(self.answer.messages) >= count)
        return self.answer.messages

    async def _send(self, message: Message) -> None:
        async with self._progress:
            self.answer.messages.append(message)
            self._progress.notify_all()


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[None]:
    """Start the application's lifespan, and stop it at the end of the block."""
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    outgoing: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    task = asyncio.create_task(app(scope, incoming.get, outgoing.put))
    incoming.put_nowait({"type": "lifespan.startup"})
    started = await asyncio.wait_for(outgoing.get(), DEADLINE)
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield
    finally:
        incoming.put_nowait({"type": "lifespan.shutdown"})
        stopped = await asyncio.wait_for(outgoing.get(), DEADLINE)
        await asyncio.wait_for(task, DEADLINE)
        assert stopped["type"] == "lifespan.shutdown.complete", stopped


async def samples(app: Any, *names: str, path: str = "/metrics") -> dict[str, float]:
    """Scrape; return sample text to value, of the metrics whose names begin with one of `names`."""
    answer = await ask(app, "GET", path)
    assert answer.status == 200, answer
    lines = (line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#"))
    return {text: float(value) for text, value in lines if text.startswith(names)}


async def requests(app: Any) -> dict[tuple[str, str, str], float]:
    """Scrape; return what was counted by method, endpoint and status."""
    found = await samples(app, "http_requests_total")
    return {tuple(text.split('"')[1::2]): value for text, value in found.items()}  # type: ignore[misc]
