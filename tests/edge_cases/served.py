"""An application in a real uvicorn, and raw connections to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, WebSocket
from pydantic import BaseModel
from starlette.responses import StreamingResponse

import belvedere

ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
"""Seconds that an answer may take: the first one waits for the server to start, on a machine that does much else."""


class Order(BaseModel):
    name: str
    amount: int


def create() -> FastAPI:
    """Return the observed application: good, broken, slow, streaming, and with a WebSocket."""
    app = FastAPI()

    @app.get("/items/{item}")
    async def item(item: str) -> str:
        return item

    @app.post("/orders")
    async def order(order: Order) -> int:
        return order.amount

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("it broke")

    @app.get("/slow")
    async def slow(request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def ticks() -> AsyncIterator[bytes]:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(ticks(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    belvedere.observe(app, settings=belvedere.Settings(service="shop", logs={"format": "json"}))
    return app


class Server:
    """A running uvicorn: its address, and the lines that it has written so far."""

    def __init__(self, address: tuple[str, int], process: subprocess.Popen[str]) -> None:
        self.address = address
        self._process = process
        self._lines: list[dict[str, Any]] = []
        self._more = threading.Condition()
        self._sentinels = 0
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def close(self) -> None:
        """Read what is left, once the process has ended."""
        self._reading.join(DEADLINE)
        if self._process.stdout is not None:
            self._process.stdout.close()

    async def talk(self, request: bytes) -> bytes:
        """Send what a client sends, and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), DEADLINE)
        finally:
            writer.close()

    async def lines(self, request_id: str) -> list[dict[str, Any]]:
        """Return all lines of a request, once its access line and whatever the server says after it are written."""
        await asyncio.to_thread(self._wait_for, request_id)
        self._sentinels += 1
        sentinel = f"sentinel-{self._sentinels}"
        await self.talk(get("/items/sentinel", id=sentinel))
        await asyncio.to_thread(self._wait_for, sentinel)
        return [line for line in self._lines if line.get("request_id") == request_id]

    @property
    def strays(self) -> list[dict[str, Any]]:
        """Tracebacks that belong to no request, and lines that are no JSON."""
        return [
            line
            for line in self._lines
            if line["level"] == "none" or ("exception" in line and "request_id" not in line)
        ]

    def _wait_for(self, request_id: str) -> None:
        def logged() -> bool:
            return any(
                line.get("request_id") == request_id and line["event"] == "request_processed" for line in self._lines
            )

        with self._more:
            assert self._more.wait_for(logged, DEADLINE), (request_id, self._lines[-5:])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text) if text.startswith("{") else {"event": text, "level": "none"}
            with self._more:
                self._lines.append(line)
                self._more.notify_all()


@contextmanager
def serving() -> Iterator[Server]:
    """Serve `create()` by uvicorn with its default logging, until the end of the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)  # clients wait in here until the server is ready
        options = ["--factory", "--http", "h11", "--fd", str(listener.fileno()), "--timeout-graceful-shutdown", "1"]
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "tests.edge_cases.served:create", *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            pass_fds=[listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        server = Server(listener.getsockname(), process)
        try:
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            server.close()


def get(path: str, *headers: str, id: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Return a request as it goes over the wire; the server is told to close."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: shop.test",
        "connection: close",
        f"x-request-id: {id}",
        *([f"content-length: {len(body)}"] if body else []),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
