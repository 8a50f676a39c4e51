"""Brings a database to the state that the service expects; many processes may do so at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, text

import belvedere
from scholarships.database import Database
from scholarships.samples import load_samples

_INI = Path(__file__).with_name("alembic.ini")
_LOCK = 7_205_759_403
"""Any number, for PostgreSQL's advisory locks."""

log = belvedere.get_logger(__name__)


async def migrate(database: Database, *, with_samples: bool) -> None:
    """Run the migrations that are missing, and load the samples into an empty table, in one transaction."""
    sqlite = database.dialect == "sqlite"
    async with database.engine.connect() as connection:
        if sqlite:
            # The driver would begin as late as the first INSERT, and leave the tables made before it without a lock.
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)
        loaded = await load_samples(connection) if with_samples else 0
        await connection.commit()
    if loaded:
        log.info("samples_loaded", count=loaded)


def _upgrade(connection: Connection) -> None:
    config = AlembicConfig(_INI)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
