"""Databases for tests: files of SQLite, and databases of a PostgreSQL server, each empty at first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import URL, make_url

from scholarships import startup
from scholarships.auth.passwords import Passwords
from scholarships.config import Config
from scholarships.database import Database


@contextmanager
def sqlite(folder: Path) -> Iterator[URL]:
    """Yield the URL of a file that does not exist yet."""
    yield make_url(f"sqlite+aiosqlite:///{folder / 'scholarships.db'}")


@contextmanager
def postgres(server: str) -> Iterator[URL]:
    """Make an empty database on a server; drop it afterwards, whoever is still connected."""
    name = f"scholarships_{uuid4().hex}"
    asyncio.run(_execute(server, f'CREATE DATABASE "{name}"'))
    try:
        yield make_url(server).set(database=name)
    finally:
        asyncio.run(_execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


PASSWORD = "correct horse battery staple"
"""Of the users of the samples."""


def prepare(url: URL) -> None:
    """Migrate a database, and load the samples and their users."""
    config = Config(database_url=url, demo_password=PASSWORD)

    async def run() -> None:
        database, passwords = Database(url), Passwords()
        await startup.prepare(config, database, passwords)
        passwords.close()
        await database.close()

    asyncio.run(run())


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(make_url(server).set(drivername="postgresql").render_as_string(False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
