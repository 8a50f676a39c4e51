"""Engines of the databases that tests write to."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Give an engine; in PostgreSQL with a schema of its own, which goes with it."""
    if not url.startswith("postgresql"):
        engine = create_async_engine(url)
        try:
            yield engine
        finally:
            await engine.dispose()
        return
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_async_engine(url, connect_args={"server_settings": {"search_path": schema}})
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield engine
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    finally:
        await engine.dispose()
