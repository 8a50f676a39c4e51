"""Requests from many connections at once, each counted by how it ended."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
DEADLINE = 900.0
"""Seconds for all requests of a load; tests have their own, shorter ones."""


class Load:
    """Sends GETs over connections that are kept, opened anew where one is closed.

    Args:
        port: on which the service listens.
        path: asked for.
        connections: at a time.
    """

    def __init__(self, port: int, path: str, connections: int = 8) -> None:
        self.answered = 0
        self.statuses: Counter[int] = Counter()
        self.last = b""
        """The body of the newest answer."""
        self.broken = 0
        """Requests that were sent and have no whole answer."""
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode()
        self._connections = connections
        self._done: Callable[[], bool] = lambda: False

    def run(self, requests: int) -> None:
        """Send requests until so many are answered."""
        self._until(lambda: self.answered >= requests)

    def begin(self) -> Callable[[], None]:
        """Send requests in a thread until what is returned is called."""
        stop = threading.Event()
        thread = threading.Thread(target=self._until, args=(stop.is_set,))
        thread.start()

        def end() -> None:
            stop.set()
            thread.join(DEADLINE)
            assert not thread.is_alive()

        return end

    def _until(self, done: Callable[[], bool]) -> None:
        self._done = done
        asyncio.run(self._all())

    async def _all(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(self._one() for _ in range(self._connections)))

    async def _one(self) -> None:
        while not self._done():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.01)
                continue
            try:
                await self._requests(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
            finally:
                writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._done():
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None, head
            self.last = await reader.readexactly(int(length[1]))
            self.answered += 1
            self.statuses[int(head[9:12])] += 1
            if b"connection: close" in head.lower():
                return
