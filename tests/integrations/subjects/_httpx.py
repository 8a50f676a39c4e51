"""All clients of httpx in the process, and one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from belvedere import conventions, integrations
from belvedere.integrations._httpx.part import SEND
from tests.integrations.relay import Relay
from tests.integrations.subjects.subject import SECRET, Relays, Subject


async def httpx_all(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, close = await _answers(relays)
    return _of_httpx(httpx.AsyncClient(), None, [httpx.Client, httpx.AsyncClient], relay, close)


async def httpx_one(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, close = await _answers(relays)
    client = httpx.AsyncClient()
    return _of_httpx(client, client, [client], relay, close)


async def _answers(relays: Relays) -> tuple[Relay, Callable[[], None]]:
    """Have a service that has nothing to say, and a relay."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return await relays(*server.sockets[0].getsockname()[:2]), server.close


def _of_httpx(
    client: httpx.AsyncClient,
    watched: httpx.AsyncClient | None,
    targets: list[Any],
    relay: Relay,
    end: Callable[[], None],
) -> Subject:
    async def use() -> None:
        await client.get(f"http://user:{SECRET}@127.0.0.1:{relay.port}/", params={"token": SECRET})

    async def close() -> None:
        await client.aclose()
        end()

    return Subject(
        extra="belvedere[httpx]",
        module="httpx",
        absent="integrations.httpx()",
        part=lambda **options: integrations.httpx(client=watched, **options),
        use=use,
        close=close,
        metrics=conventions.HTTP_CLIENT_METRICS,
        hooks=lambda: [vars(target).get(SEND) for target in targets],
        relay=relay,
        checked=False,
    )
