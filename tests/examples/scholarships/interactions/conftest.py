"""A service that may be written to, for each test of interactions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import URL

from scholarships.config import Config
from tests.examples.scholarships.identities import FREELY
from tests.examples.scholarships.serving import served


@pytest_asyncio.fixture
async def app(written_url: URL) -> AsyncIterator[FastAPI]:
    """A service that may be written to, as often as one likes."""
    async with served(Config(database_url=written_url, **FREELY)) as app:
        yield app
