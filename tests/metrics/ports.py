"""A port of its own without an application, and whoever asks there."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from belvedere.metrics.port import Claim, Port
from belvedere.metrics.scrapes import reply

DEADLINE = 60.0


def get(port: int, path: str = "/metrics", method: str = "GET", *, host: str = "127.0.0.1", **headers: Any) -> Any:
    """Ask once, and read the whole answer, which is in `answer.body` then."""
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer: Any = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()


def talk(port: int, *parts: bytes) -> bytes:
    """Send bytes, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        for part in parts:
            client.sendall(part)
        got = b""
        while part := client.recv(65_536):
            got += part
        return got


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Log(list[tuple[str, dict[str, Any]]]):
    """A structlog logger that keeps what it is given."""

    def info(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    warning = info


@contextmanager
def opened(number: int, log: Log | None = None, claim: Claim | None = None) -> Iterator[Port]:
    port = Port(number, {"/metrics": lambda _: reply(200, b"metrics\n")}, claim or Claim(number), log)
    try:
        port.start()
        yield port
    finally:
        port.close()
