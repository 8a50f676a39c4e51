"""Making the table at the start, by however many workers at once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Final

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateIndex, CreateTable, DDLElement

from belvedere.interactions.connection import Connections
from belvedere.interactions.table import FIXED
from belvedere.interactions.verdicts import Unavailable

ATTEMPTS: Final = 5
"""Others may be making it at the same moment by other means, a migration for example; each attempt looks again."""


class TableError(Exception):
    """There is a table of that name which interactions cannot be written to; the message says what is missing."""


def statements(table: Table) -> list[DDLElement]:
    """Return what makes the table and its indexes where they are absent."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [CreateTable(table, if_not_exists=True), *(CreateIndex(index, if_not_exists=True) for index in indexes)]


def lacks(connection: Connection, table: Table, subject: str) -> list[str] | None:
    """Return what the database's table lacks, None if there is no table."""
    inspector = inspect(connection)
    if not inspector.has_table(table.name, schema=table.schema):
        return None
    columns = {column["name"]: column for column in inspector.get_columns(table.name, schema=table.schema)}
    wanted = ["id", *FIXED, subject]
    missing = [f"the column {name}" for name in wanted if name not in columns]
    if "event_id" in columns:
        unique: list[set[str | None]] = [
            set(one["column_names"]) for one in inspector.get_unique_constraints(table.name, table.schema)
        ]
        unique += [set(one["column_names"]) for one in inspector.get_indexes(table.name, table.schema) if one["unique"]]
        unique.append(set(inspector.get_pk_constraint(table.name, table.schema)["constrained_columns"]))
        if {"event_id"} not in unique:
            missing.append("a unique constraint on event_id")
    for name, column in columns.items():
        filled = column["nullable"] or column.get("default") is not None or column.get("autoincrement") is True
        if name not in wanted and not filled and not column.get("identity") and not column.get("computed"):
            missing.append(f"a default for its column {name}")
    return missing


async def create(connections: Connections, table: Table, subject: str) -> None:
    """Make the table unless it is there.

    Raises:
        TableError: the one that is there lacks something.
        Unavailable: the database is away.
    """
    began = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            missing = await connections.transaction(lambda connection: _create(connection, table, subject))
        except Unavailable as error:
            # Who waits is an application that starts: a database that hangs is not asked again.
            if attempt == ATTEMPTS or time.monotonic() - began >= connections.seconds:
                raise Unavailable(f"the table was not made: {error}") from None
            await asyncio.sleep(0.02 * attempt)
            continue
        if missing:
            raise TableError(
                f"the table {table.fullname} is there, but lacks {', '.join(missing)}; "
                "a migration has to add it, or interactions take another table"
            )
        return


async def _create(connection: AsyncConnection, table: Table, subject: str) -> list[str]:
    await _alone(connection, table)
    missing = await connection.run_sync(lacks, table, subject)
    if missing is None:
        for statement in statements(table):
            await connection.execute(statement)
    return missing or []


async def _alone(connection: AsyncConnection, table: Table) -> None:
    """Wait until no other worker makes the table. CREATE TABLE IF NOT EXISTS alone is not enough on PostgreSQL, where
    two at once fail on the catalogue, and on SQLite a table whose indexes did not come about would be left alone."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256(f"belvedere {table.fullname}".encode()).digest()[:8], "big", signed=True)
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    elif connection.dialect.name == "sqlite":
        raw = await connection.get_raw_connection()
        if not getattr(raw.driver_connection, "in_transaction", False):
            await connection.execute(text("BEGIN IMMEDIATE"))
