"""A Scholarship API for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import URL

from scholarships.auth import passwords
from scholarships.config import Config
from tests.examples.scholarships import databases
from tests.examples.scholarships.identities import FREELY
from tests.examples.scholarships.serving import calling, served

Empty = Callable[[Path], AbstractContextManager[URL]]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what the machine says: each test says everything itself, and keeps its journal to itself."""
    for name in Config.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True, scope="session")
def quick_passwords() -> Iterator[None]:
    """Hash with a hundredth of the work: what is tested is who is let in, not how strong argon2 is."""
    with patch.object(passwords, "PasswordHasher", partial(PasswordHasher, 1, 1024, 1)):
        yield


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest) -> Empty:
    """What makes an empty database."""
    if request.param == "sqlite":
        return databases.sqlite
    server: str = request.getfixturevalue("postgres_url")
    return lambda _folder: databases.postgres(server)


@pytest.fixture(scope="session")
def sample_url(empty: Empty, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A migrated database with the samples, for tests that only read."""
    with empty(tmp_path_factory.mktemp("samples")) as url:
        databases.prepare(url)
        yield url


@pytest.fixture
def empty_url(empty: Empty, tmp_path: Path) -> Iterator[URL]:
    """An empty database."""
    with empty(tmp_path) as url:
        yield url


@pytest.fixture(scope="module")
def written_url(empty: Empty, tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A migrated database with the samples, for the tests of one module, each of which writes to rows of its own."""
    with empty(tmp_path_factory.mktemp("written")) as url:
        databases.prepare(url)
        yield url


@pytest_asyncio.fixture
async def app(sample_url: URL) -> AsyncIterator[FastAPI]:
    """The running service over the samples."""
    async with served(Config(database_url=sample_url, **FREELY)) as app:
        yield app


@pytest_asyncio.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """What calls the running service."""
    async with calling(app) as client:
        yield client
