"""Databases to write to: SQLite in a file and a real PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/interactions.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """An engine of that database; in PostgreSQL each test has a schema of its own."""
    async with opened(database) as engine:
        yield engine


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine of PostgreSQL, for what SQLite does not have."""
    async with opened(postgres_url) as engine:
        yield engine


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    if not url.startswith("postgresql"):
        engine = create_async_engine(url)
        yield engine
        await engine.dispose()
        return
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_async_engine(url, connect_args={"server_settings": {"search_path": schema}})
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield engine
    async with engine.begin() as connection:
        await connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    await engine.dispose()
