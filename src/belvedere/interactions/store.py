"""The store: interactions in a database, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Executable, MetaData, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from belvedere.interactions import creation, generic, insert
from belvedere.interactions.connection import Connections, Refused
from belvedere.interactions.table import define
from belvedere.interactions.verdicts import Unavailable

TIMEOUT = 10.0
"""Seconds that a piece of work with the database may take."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch."""

    rows: int
    """Rows that were added; events that were there already do not count."""
    refused: list[tuple[bytes, str]] = field(default_factory=list)
    """The events that the database will never take, and why; the reason shows no value."""


class Store:
    """The table of interactions in the database of an engine.

    PostgreSQL and SQLite have statements of their own; other databases are written to row by row.

    Args:
        engine: the application's own; one connection of its pool is used at a time.
        table: the table's name.
        subject: the name of the column for what an event is about.
        subject_type: `str` or `int` (64 bits).
        schema: where the table lies, if not in the database's default schema.
        metadata: what the table becomes part of; the application's own, if Alembic is to know of it.
        timeout: seconds that a batch, a chunk or a connection may take.

    Raises:
        ValueError: a name that is no identifier.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        table: str = "interactions",
        subject: str = "subject",
        subject_type: type = str,
        *,
        schema: str | None = None,
        metadata: MetaData | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self.table = define(table, subject, subject_type, schema, metadata)
        self._subject = subject
        self._connections = Connections(engine, timeout)
        self._insert: Executable | None = insert.statement(self.table, engine.dialect, subject)
        self._looked = engine.dialect.name != "sqlite"

    async def create(self) -> None:
        """Make the table and its indexes; leave it as it is where it is there.

        Any number of workers may do it at once.

        Raises:
            TableError: there is one already that events cannot be written to; it says what is missing.
            Unavailable: the database is away.
        """
        await creation.create(self._connections, self.table, self._subject)

    async def write(self, payloads: Sequence[bytes]) -> Written:
        """Write events in one transaction; those that are there already, by `event_id`, are left as they are.

        A batch with an event which the database will never take is written in halves, until that event is alone.

        Args:
            payloads: events as the journal has them, each a JSON object.

        Raises:
            Unavailable: the database did not take them now; the whole batch is to be tried again.
        """
        rows = 0
        refused: list[tuple[bytes, str]] = []
        pieces = [list(payloads)] if payloads else []
        while pieces:
            piece = pieces.pop()
            try:
                rows += await self._add(piece)
            except Refused as refusal:
                if len(piece) == 1:
                    refused.append((piece[0], str(refusal)))
                else:
                    half = len(piece) // 2
                    pieces += [piece[half:], piece[:half]]
            except Unavailable as unavailable:
                unavailable.rows = rows
                raise
        return Written(rows, refused)

    async def _add(self, payloads: list[bytes]) -> int:
        if not self._looked:
            if not await self._connections.single(_takes_json_apart):
                self._insert = None
            self._looked = True
        if (statement := self._insert) is None:
            return await self._add_rows(payloads)
        try:
            batch = insert.joined(payloads)
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None

        async def add(connection: AsyncConnection) -> int:
            result: Any = await connection.execute(statement, {insert.BATCH: batch})
            return int(result.rowcount)

        return await self._connections.single(add)

    async def _add_rows(self, payloads: list[bytes]) -> int:
        try:
            rows = [generic.row(payload, self.table, self._subject) for payload in payloads]
        except ValueError as error:
            raise Refused(str(error)) from None
        return await self._connections.transaction(lambda connection: generic.add(connection, self.table, rows))


async def _takes_json_apart(connection: AsyncConnection) -> bool:
    """Whether this SQLite was built with its functions for JSON, and is of 3.24 or later, which knows ON CONFLICT."""
    version = connection.dialect.server_version_info
    if version is None or version < (3, 24):
        return False
    try:
        await connection.execute(text("SELECT count(*) FROM json_each('[]')"))
    except OperationalError as error:
        if "no such table" in str(error.orig):
            return False
        raise
    return True
