"""Connections of the store's own work are let go of, whoever gives up when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from belvedere.interactions.connection import Connections


@pytest.mark.parametrize("where", ["connecting", "working"])
async def test_who_is_cancelled_twice_leaves_no_connection_open(tmp_path: Path, where: str) -> None:
    """By the time-out of a check and by its own a moment later, say: a loop that ends then has nothing left open."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/rows.db")
    begun = asyncio.Event()
    opened: list[Any] = []

    async def linger(_: object) -> None:
        begun.set()
        await asyncio.sleep(0.2)

    @event.listens_for(engine.sync_engine, "connect")
    def connecting(connection: Any, _record: object) -> None:
        opened.append(connection.driver_connection)
        if where == "connecting":
            connection.run_async(linger)

    async def work(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        await linger(connection)

    task = asyncio.create_task(Connections(engine, 60.0).single(work))
    await begun.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await engine.dispose()
    assert [connection._connection for connection in opened] == [None]
