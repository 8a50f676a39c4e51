"""The table in an Alembic migration: `migration.upgrade(op, subject="scholarship_id", subject_type=int)`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.schema import DropTable

from belvedere.interactions.creation import statements
from belvedere.interactions.table import define

__all__ = ["downgrade", "upgrade"]


def upgrade(
    op: Any, table: str = "interactions", subject: str = "subject", subject_type: type = str, schema: str | None = None
) -> None:
    """Make the table and its indexes; where a table of that name is there already, change nothing at all.

    For `alembic upgrade --sql`, which cannot look, each statement says IF NOT EXISTS.

    Args:
        op: what a migration imports from Alembic.
        table: the table's name.
        subject: the name of the column for what an event is about.
        subject_type: `str` or `int` (64 bits).
        schema: where the table lies, if not in the database's default schema.

    Raises:
        ValueError: a name that is no identifier.
    """
    made = define(table, subject, subject_type, schema)
    connection = _connection(op)
    if connection is not None and inspect(connection).has_table(table, schema=schema):
        return
    for statement in statements(made):
        op.execute(statement)


def downgrade(
    op: Any, table: str = "interactions", subject: str = "subject", subject_type: type = str, schema: str | None = None
) -> None:
    """Drop the table with all its rows, if it is one that `upgrade` or `create_table` makes.

    It is recognised by its columns and by the names of its indexes: a table with others was there before, or was
    changed since, and stays. For `alembic downgrade --sql`, which cannot look, it is DROP TABLE IF EXISTS.

    Args:
        op: what a migration imports from Alembic.
        table: as it was given to `upgrade`.
        subject: likewise.
        subject_type: likewise.
        schema: likewise.

    Raises:
        ValueError: a name that is no identifier.
    """
    made = define(table, subject, subject_type, schema)
    connection = _connection(op)
    if connection is None or _is_ours(connection, made):
        op.execute(DropTable(made, if_exists=True))


def _connection(op: Any) -> Connection | None:
    """Return the database's connection, None where statements are written instead of executed."""
    context = op.get_context()
    connection: Connection | None = None if context.as_sql else context.connection
    return connection


def _is_ours(connection: Connection, table: Table) -> bool:
    inspector = inspect(connection)
    if not inspector.has_table(table.name, schema=table.schema):
        return False
    columns = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    indexes = {index["name"] for index in inspector.get_indexes(table.name, schema=table.schema)}
    return columns == set(table.c.keys()) and {str(index.name) for index in table.indexes} <= indexes
