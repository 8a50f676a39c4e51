"""Databases that go away and come back, while those who use them keep their URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiosqlite
from sqlalchemy import URL

from tests.ports import free_port


class Outage:
    """A database behind something that can be cut.

    PostgreSQL lies behind a relay that closes its port and hangs up. A file of SQLite cannot go away; it is locked, so
    that it can be read and not be written to.
    """

    def __init__(self, url: URL) -> None:
        self._real = url
        self.url = url
        # No port that the kernel gives out: while the database is away, that could become somebody else's.
        self._port = free_port()
        self._cut = AsyncExitStack()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def down(self) -> None:
        """Cut it."""
        if self._real.get_backend_name() == "sqlite":
            connection = await self._cut.enter_async_context(aiosqlite.connect(str(self._real.database)))
            await connection.execute("BEGIN EXCLUSIVE")
            return
        assert self._server is not None
        self._server.close()
        for writer in self._writers.copy():
            writer.transport.abort()
        await self._server.wait_closed()

    async def up(self) -> None:
        """Let it be there again."""
        await self._cut.aclose()
        if self._real.get_backend_name() != "sqlite":
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
            self.url = self._real.set(host="127.0.0.1", port=self._port, query={})

    async def close(self) -> None:
        """Let go of everything."""
        await self._cut.aclose()
        if self._server is not None and self._server.is_serving():
            await self.down()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = str(self._real.query.get("host", self._real.host))
        if host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{self._real.port or 5432}")
        else:
            there = await asyncio.open_connection(host, self._real.port or 5432)
        self._writers |= {writer, there[1]}
        try:
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        finally:
            self._writers -= {writer, there[1]}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def outage(url: URL) -> AsyncIterator[Outage]:
    """Yield a database that is there, and can be cut."""
    cut = Outage(url)
    if url.get_backend_name() != "sqlite":
        await cut.up()
    try:
        yield cut
    finally:
        await cut.close()
