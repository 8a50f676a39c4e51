"""Engines of SQLAlchemy, async and sync, on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere import conventions, integrations
from tests.integrations.relay import Relay
from tests.integrations.subjects.subject import SECRET, Relays, Subject


async def sqlalchemy_async(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _postgres(request, relays)
    engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_pre_ping=True, connect_args={"timeout": 5})

    async def use() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    return _of_engine(engine, engine.sync_engine, use, engine.dispose, relay)


async def sqlalchemy_sync(request: pytest.FixtureRequest, relays: Relays) -> Subject:
    relay, url = await _postgres(request, relays)
    url = url.set(drivername="postgresql+psycopg")
    options: Any = {"connect_args": {"connect_timeout": 5}}
    engine = create_engine(url, pool_size=2, max_overflow=0, pool_pre_ping=True, **options)

    def ask() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    async def use() -> None:
        await asyncio.to_thread(ask)

    async def close() -> None:
        engine.dispose()

    return _of_engine(engine, engine, use, close, relay, waits=True)


async def _postgres(request: pytest.FixtureRequest, relays: Relays) -> tuple[Relay, URL]:
    """Have a password in the address, and a relay."""
    url = make_url(request.getfixturevalue("postgres_url"))
    relay = await relays(url.host or "127.0.0.1", url.port or 5432)
    return relay, url.set(host="127.0.0.1", port=relay.port, password=SECRET)


def _of_engine(engine: Any, watched: Any, use: Any, close: Any, relay: Relay, *, waits: bool = False) -> Subject:
    return Subject(
        extra="belvedere[sqlalchemy]",
        module="sqlalchemy",
        absent="integrations.sqlalchemy(None)",
        part=lambda **options: integrations.sqlalchemy(engine, **options),
        use=use,
        close=close,
        metrics=conventions.DATABASE_METRICS,
        hooks=lambda: _listeners(watched),
        relay=relay,
        waits=waits,
        details={"pool_size", "connections_in_use"},
    )


def _listeners(engine: Any) -> list[Any]:
    names = ("before_cursor_execute", "after_cursor_execute", "engine_disposed")
    pool = ("connect", "checkout", "checkin", "close", "detach")
    return [
        *(list(getattr(engine.dispatch, name)) for name in names),
        *(list(getattr(engine.pool.dispatch, name)) for name in pool),
        list(engine.dialect.dispatch.handle_error),
    ]
