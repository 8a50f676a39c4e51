"""Many requests at the same time, each on a connection of its own, each with an id or without one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

PATHS = ("orders", "sync", "failing", "orders", "orders")


@dataclass(frozen=True)
class Asked:
    """A request that was answered."""

    number: int
    id: str | None
    """The id that it was sent with."""
    status: int
    answered_id: str
    """The id that its answer had."""


def crowd(port: int, requests: int) -> list[Asked]:
    """Send so many requests at once, and return how they were answered; every fifth fails, every seventh has no id."""
    return asyncio.run(_crowd(port, requests))


async def _crowd(port: int, requests: int) -> list[Asked]:
    return await asyncio.gather(*(_ask(port, number) for number in range(requests)))


async def _ask(port: int, number: int) -> Asked:
    identity = None if number % 7 == 0 else f"crowd-{number}"
    while True:
        try:
            status, answered = await _answer(port, f"/{PATHS[number % len(PATHS)]}/{number}", identity)
            return Asked(number, identity, status, answered)
        except (OSError, EOFError):
            # A worker that has served its last request closes connections that it has not read from.
            continue


async def _answer(port: int, path: str, identity: str | None) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with_id = "" if identity is None else f"X-Request-ID: {identity}\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{with_id}\r\n".encode())
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        await reader.read()
    finally:
        writer.close()
    first, *others = head.rstrip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in others)
    return int(first.split()[1]), headers["x-request-id"]
