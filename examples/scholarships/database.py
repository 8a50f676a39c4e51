"""The connection to the database: SQLite or PostgreSQL, each with what it needs to be safe under load."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import belvedere

PATIENCE = 5.0
"""Seconds to wait for a connection, a lock or a free place in the pool."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_AWAY = {"08", "53", "57"}
"""Classes of PostgreSQL's errors: connection, resources (as too many connections), operator (as a shutdown)."""

log = belvedere.get_logger(__name__)


class DatabaseUnavailableError(HTTPException):
    """The database cannot be asked; whoever does not handle this answers 503."""

    def __init__(self) -> None:
        super().__init__(503, headers={"Retry-After": "5"})


class Database:
    """An engine and its sessions; nothing is connected before it is used."""

    def __init__(self, url: URL) -> None:
        self.engine = _engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Yield a session; hold it for queries alone, so that a slow client does not keep a connection.

        Raises:
            DatabaseUnavailableError: when the database cannot be reached, or does not answer.
        """
        try:
            async with self._sessions() as session:
                yield session
        except Exception as error:
            if not _is_away(error):
                raise
            log.error("database_unavailable", reason=str(getattr(error, "orig", error)))
            raise DatabaseUnavailableError from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _engine(url: URL) -> AsyncEngine:
    # A statement's values are what people search for: they belong into no exception and no log.
    common: dict[str, Any] = {"hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(url, connect_args={"timeout": PATIENCE}, **common)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        return engine
    return create_async_engine(
        url,
        pool_pre_ping=True,  # a connection that died with a restarted server is replaced before it is used
        pool_timeout=PATIENCE,
        connect_args={"timeout": PATIENCE, "server_settings": {"application_name": "scholarships"}},
        **common,
    )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    # Readers do not wait for a writer then. The file remembers it; while another process migrates, it stays as it is.
    with suppress(sqlite3.OperationalError):
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _is_away(error: Exception) -> bool:
    if isinstance(error, OperationalError | InterfaceError | PoolTimeoutError | OSError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    # Older versions of SQLAlchemy hand on what the driver raises while it connects.
    return str(getattr(getattr(error, "orig", error), "sqlstate", ""))[:2] in _AWAY
