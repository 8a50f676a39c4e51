"""A port in front of a server, which can be cut, be made slow or to say nothing, and come back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.ports import free_port


class Relay:
    """Passes bytes on to a server; its own port stays the same."""

    def __init__(self, host: str, port: int) -> None:
        self._there = (host, port)
        # No port that the kernel gives out: while the relay is down, that could become somebody else's.
        self.port = free_port()
        self.delay = 0.0
        """Seconds that it takes longer than the server to say something."""
        self._silent = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def up(self) -> None:
        """Let the server be reached, as quickly as it answers."""
        self.delay = 0.0
        self._silent = asyncio.Event()
        self._silent.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def down(self) -> None:
        """Refuse connections, and cut those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang(self) -> None:
        """Take connections and bytes, and say nothing."""
        self._silent.clear()

    def wake(self) -> None:
        """Say what there was to say meanwhile; after `up`, connections that hung are lost without a word."""
        self._silent.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            there = await asyncio.open_connection(*self._there)
            self._writers |= {writer, there[1]}
            with suppress(OSError):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, there[1]))
                    group.create_task(self._pass(there[0], writer, slowly=True))
        self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slowly: bool = False) -> None:
        try:
            while data := await reader.read(65536):
                await self._silent.wait()
                if slowly and self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
