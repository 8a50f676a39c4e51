"""Databases to write to: SQLite in a file and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.interactions.store.databases import opened


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
