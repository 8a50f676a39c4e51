"""Brings a database to the state that the service expects; many processes may do so at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

import belvedere
from scholarships.auth.passwords import Passwords
from scholarships.config import Config
from scholarships.database import PATIENCE, Database
from scholarships.samples import load_samples
from scholarships.users import load_demo_users

_INI = Path(__file__).with_name("alembic.ini")
_LOCK = 7_205_759_403
"""Any number, for PostgreSQL's advisory locks."""
OTHERS = 60.0
"""Seconds to wait for others who prepare a file of SQLite; PostgreSQL waits for as long as they take."""

log = belvedere.get_logger(__name__)


async def prepare(config: Config, database: Database, passwords: Passwords) -> None:
    """Migrate, and load the samples and their users; not in production, where a step of the deployment migrates."""
    if config.production:
        return
    if not config.jwt_keys:
        log.warning("signing_key_made", reason="Without JWT_KEYS, tokens end with this process and no other reads them")
    await migrate(database, with_samples=True)
    if config.demo_password is not None:
        async with _alone(database) as connection:
            changed = await load_demo_users(connection, passwords, config.demo_password.get_secret_value())
        if changed:
            log.info("demo_users_loaded", count=changed)


async def migrate(database: Database, *, with_samples: bool) -> None:
    """Run the migrations that are missing, and load the samples into an empty table, in one transaction."""
    async with _alone(database) as connection:
        await connection.run_sync(_upgrade)
        loaded = await load_samples(connection) if with_samples else 0
    if loaded:
        log.info("samples_loaded", count=loaded)


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[AsyncConnection]:
    """Yield a connection in a transaction that no other process prepares the database beside."""
    async with database.engine.connect() as connection:
        if database.dialect == "sqlite":
            await _wait_for_locks(connection, OTHERS)
            # The driver would begin as late as the first INSERT, and leave the tables made before it without a lock.
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        yield connection
        await connection.commit()
        if database.dialect == "sqlite":
            await _wait_for_locks(connection, PATIENCE)


async def _wait_for_locks(connection: AsyncConnection, seconds: float) -> None:
    await connection.exec_driver_sql(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")


def _upgrade(connection: Connection) -> None:
    config = AlembicConfig(_INI)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
