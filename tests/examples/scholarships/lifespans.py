"""Starts and stops an application as a server does: by the ASGI lifespan protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """Yield a started application; stop it afterwards.

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


def _expect(message: dict[str, Any], kind: str) -> None:
    if message["type"] != kind:
        raise RuntimeError(message.get("message", message["type"]))
