"""A relay in front of the database that loses its answers: what was committed is not known to be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.ports import free_port


class Relay:
    """Passes bytes on in both directions, in a thread of its own.

    Args:
        port: of the database, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._deaf = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    @contextmanager
    def running(self) -> Iterator[Relay]:
        listens = threading.Event()
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(listens),))
        thread.start()
        try:
            assert listens.wait(30)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()
            self._loop.close()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Pass on what is asked and nothing of what is answered; at the end of the block cut all connections."""
        self._deaf = True
        try:
            yield
        finally:
            self.cut()
            self._deaf = False

    def cut(self) -> None:
        """Break all connections off."""
        done = threading.Event()

        def cut() -> None:
            for writer in self._open:
                writer.transport.abort()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        assert done.wait(30)

    async def _serve(self, listens: threading.Event) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        listens.set()
        await self._stop.wait()
        server.close()
        for writer in self._open:
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            behind, ahead = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(ahead)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, ahead, answers=False))
                group.create_task(self._pass(behind, writer, answers=True))
        finally:
            for each in (writer, ahead):
                each.transport.abort()
                self._open.discard(each)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while data := await reader.read(65536):
                if not (answers and self._deaf):
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        writer.transport.abort()
