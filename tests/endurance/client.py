"""HTTP/1.1 byte by byte: what matters is whether an answer was read to its last byte, and whose it was."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT = 30.0
"""Seconds for one answer; none of the service's takes a second unless its worker hangs."""

BROKEN = (OSError, asyncio.IncompleteReadError)
"""What a connection raises that breaks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A connection that is kept for many requests, and opened anew where it has broken."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send one request and read its answer; raise one of `BROKEN` where no whole answer came."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await self.send(method, path, headers, body)
                assert self._reader is not None
                answer = await _answer(self._reader, method)
        except BROKEN:
            self.close()
            raise
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a request, and do not wait for what comes back."""
        if self._writer is None:
            await self.open()
        assert self._writer is not None
        lines = [f"{method} {path} HTTP/1.1", "Host: shop", *(f"{name}: {value}" for name, value in headers.items())]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def open(self) -> None:
        """Connect; wait while nobody listens."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
                    return
                except OSError:
                    await asyncio.sleep(0.02)

    def close(self) -> None:
        """Leave, whatever is on its way."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def _answer(reader: asyncio.StreamReader, method: str) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = b""
    if method != "HEAD" and status not in {204, 304}:
        if headers.get("transfer-encoding") == "chunked":
            body = await _chunks(reader)
        else:
            body = await reader.readexactly(int(headers["content-length"]))
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
