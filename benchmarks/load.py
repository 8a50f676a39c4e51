"""A bounded load: keep-alive connections, one request at a time on each. It takes a third of the server's time.

`python -m benchmarks.load DESCRIPTOR` reads lines `PORT SECONDS CONNECTIONS` and answers with what was completed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import cast

from benchmarks.application import request_bytes
from benchmarks.children import stay_on_cpu
from benchmarks.worker import new_loop

PATHS = 10_000
"""Scholarships that are asked for, one after the other."""


class Connection(asyncio.Protocol):
    """Sends the next request as soon as the answer is whole."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self.requests = requests
        self.completed = 0
        self.failed = 0
        self.buffer = b""
        self.running = True
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0 or len(data) < end + 4 + self._length(data[:end].lower()):
            self.buffer = data
            return
        self.buffer = b""
        if data.startswith(b"HTTP/1.1 200"):
            self.completed += 1
        else:
            self.failed += 1
        if self.running:
            self.transport.write(next(self.requests))

    def _length(self, head: bytes) -> int:
        at = head.find(b"content-length: ")
        return int(head[at + 16 : at + 32].split(b"\r", 1)[0]) if at >= 0 else 0

    def connection_lost(self, exc: Exception | None) -> None:
        if self.running:
            self.failed += 1


async def load(port: int, seconds: float, connections: int) -> dict[str, float]:
    """Send for so many seconds after a short warm-up.

    Returns:
        requests per second, all that were completed, and answers that were not 200.
    """
    loop = asyncio.get_running_loop()
    requests = itertools.cycle([request_bytes(port, number) for number in range(1, PATHS)])
    made = [
        (await loop.create_connection(lambda: Connection(requests), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    await asyncio.sleep(min(0.2, seconds / 4))
    before, began = sum(connection.completed for connection in made), time.perf_counter()
    await asyncio.sleep(seconds)
    completed, took = sum(connection.completed for connection in made) - before, time.perf_counter() - began
    failed = sum(connection.failed for connection in made)
    answered = sum(connection.completed for connection in made)
    for connection in made:
        connection.running = False
        connection.transport.close()
    return {"per_second": completed / took, "completed": answered, "failed": failed}


def main(answers: int) -> None:
    """Answer orders until standard input ends."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        for line in sys.stdin:
            port, seconds, connections = line.split()
            answer = runner.run(load(int(port), float(seconds), int(connections)))
            os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    stay_on_cpu()
    main(int(sys.argv[1]))
