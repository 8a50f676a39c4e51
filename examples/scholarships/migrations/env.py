"""Runs the migrations: on the connection that the service gives, or, by the `alembic` command, on `DATABASE_URL`."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection

from scholarships.config import Config, ConfigError
from scholarships.database import Database
from scholarships.models import Base


def belongs(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    """Keep what the models know nothing of, full-text indexes and interactions, out of `alembic revision`."""
    return not (name or "").startswith("scholarships_fts") and (kind, name) not in {
        ("table", "interactions"),
        ("column", "search_vector"),
        ("index", "ix_scholarships_search_vector"),
    }


def migrate(connection: Connection) -> None:
    """Run what has not been run."""
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=belongs)
    with context.begin_transaction():
        context.run_migrations()


def database_url() -> URL:
    """Return `DATABASE_URL`; what is wrong with the settings is told by the command without a traceback."""
    try:
        return Config().database_url
    except ConfigError as error:
        raise CommandError(str(error)) from None


async def migrate_by_url() -> None:
    """Run what has not been run, on a connection of its own."""
    database = Database(database_url())
    async with database.engine.begin() as connection:
        await connection.run_sync(migrate)
    await database.close()


def write_sql() -> None:
    """Write the statements instead of running them, for `alembic upgrade --sql`."""
    dialect = database_url().get_backend_name()
    context.configure(dialect_name=dialect, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    write_sql()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    asyncio.run(migrate_by_url())
