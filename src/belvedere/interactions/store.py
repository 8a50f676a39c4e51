"""The store: interactions in a database, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Executable, MetaData, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from belvedere.interactions import creation, filters, generic, insert, pruning, query, summary
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

    async def begin(self) -> None:
        """Begin on this event loop: whoever shares the engine is not given connections of one that is closed."""
        await self._connections.join_loop()

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
            payloads: events, each a JSON object.

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

    async def query(
        self,
        *,
        event: str | None = None,
        user: str | None = None,
        subject: str | int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> query.Page:
        """Return a page of rows, the newest first.

        Event and subject are found by an index; a user by reading what the other filters leave.

        Args:
            event: the event's type.
            user: who it was.
            subject: what it was about.
            since: the first moment; UTC where it names no time zone.
            until: the first moment that is no longer asked for.
            limit: rows of the page, 1 to 1,000.
            after: the `next` of the page before.

        Raises:
            ValueError: a limit, cursor or moment that is none, or a subject that is no number where subjects are.
            Unavailable: the database is away.
        """
        begin = query.check(limit, after)
        conditions = filters.conditions(
            self.table, self._subject, event=event, user=user, about=subject, since=since, until=until
        )
        by_type = event is None and subject is None
        return await self._connections.transaction(
            lambda connection: query.page(connection, self.table, conditions, begin, limit, by_type=by_type)
        )

    async def summary(
        self,
        *,
        event: str | None = None,
        user: str | None = None,
        subject: str | int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        bucket: summary.Bucket | None = None,
    ) -> list[summary.Row]:
        """Return counts for each event, and for each stretch of time if `bucket` says how long one is, in UTC.

        Stretches without interactions are left out. The other arguments are those of `query`.

        Raises:
            ValueError: a bucket or moment that is none, or a subject that is no number where subjects are.
            Unavailable: the database is away.
        """
        summary.check(bucket)
        conditions = filters.conditions(
            self.table, self._subject, event=event, user=user, about=subject, since=since, until=until
        )
        return await self._connections.transaction(
            lambda connection: summary.summarise(connection, self.table, conditions, bucket)
        )

    async def prune(self, before: datetime, *, chunk: int = pruning.CHUNK, pause: float = pruning.PAUSE) -> int:
        """Delete what is older than `before`, in chunks that take about 25 ms each; return how many rows.

        It may be cancelled, and several workers may do it at once.

        Args:
            before: the first moment that stays; UTC where it names no time zone.
            chunk: rows of a chunk at most.
            pause: seconds between two chunks at least; 0 makes none.

        Raises:
            ValueError: a chunk without rows, or a pause below 0.
            Unavailable: the database is away; what is left is left for another time.
        """
        before = filters.moment("before", before)
        return await pruning.prune(self._connections, self.table, before, chunk=chunk, pause=pause)

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

        return await self._connections.single(add, events=True)

    async def _add_rows(self, payloads: list[bytes]) -> int:
        try:
            rows = [generic.row(payload, self.table, self._subject) for payload in payloads]
        except ValueError as error:
            raise Refused(str(error)) from None
        return await self._connections.transaction(
            lambda connection: generic.add(connection, self.table, rows), events=True
        )


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
