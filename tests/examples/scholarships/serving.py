"""Makes a service for a test, starts and stops it as a server does, and takes Belvedere off it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from fastapi import FastAPI

import belvedere
from scholarships.config import Config
from scholarships.service import create_app


@contextmanager
def made(config: Config) -> Iterator[FastAPI]:
    """Yield an application that has not been started; leave logging as it was."""
    app = create_app(config)
    observability: belvedere.Observability = app.state.belvedere
    try:
        yield app
    finally:
        observability.remove()


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """Start an application by the ASGI lifespan protocol, yield it, stop it.

    Raises:
        RuntimeError: when it does not start or stop, with what it said.
    """
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.create_task(app(scope, asked.get, said.put))  # type: ignore[arg-type]
    try:
        await asked.put({"type": "lifespan.startup"})
        _expect(await said.get(), "lifespan.startup.complete")
        yield app
        await asked.put({"type": "lifespan.shutdown"})
        _expect(await said.get(), "lifespan.shutdown.complete")
    finally:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


@asynccontextmanager
async def served(config: Config) -> AsyncIterator[FastAPI]:
    """Yield an application that runs."""
    with made(config) as app:
        async with running(app):
            yield app


def calling(app: FastAPI, **transport: Any) -> httpx.AsyncClient:
    """Return what calls an application; the options are those of `httpx.ASGITransport`."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **transport), base_url="http://test")


async def checked(client: httpx.AsyncClient, **checks: str) -> httpx.Response:
    """Return what readiness answers, once its checks say that or a minute has passed.

    A check that had no turn within its second, on a machine with others, says nothing of what it checks.
    """
    deadline = time.monotonic() + 60
    while True:
        answer = await client.get("/readyz")
        if answer.json()["checks"] == checks or time.monotonic() > deadline:
            return answer
        await asyncio.sleep(0.1)


def _expect(message: dict[str, Any], kind: str) -> None:
    if message["type"] != kind:
        raise RuntimeError(message.get("message", message["type"]))
