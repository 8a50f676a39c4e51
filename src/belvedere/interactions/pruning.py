"""Taking old interactions out, a few at a time, so that nobody who writes waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import DateTime, Delete, String, Table, any_, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from belvedere.interactions.connection import Connections
from belvedere.interactions.eventtypes import event_types

CHUNK: Final = 2_000
"""Rows of a chunk at most."""
PAUSE: Final = 0.05
"""Seconds between two chunks, and never less than the chunk took. Writers of SQLite wait by looking again, 1, 3, 8, 18,
33, 53 and 78 ms after they came (`sqliteDefaultBusyCallback`): who finds a chunk at work finds a pause soon after."""
TARGET: Final = 0.025
"""Seconds that a chunk is to take; the next one has as many rows as fit into it."""
SMALLEST: Final = 20
"""Rows of a chunk at least: what takes longer for so few is the disk, and fewer rows would not be quicker."""

_FIRST: Final = 100
"""Rows of the first chunk, when it is not known yet how long they take."""


async def prune(
    connections: Connections,
    table: Table,
    before: datetime,
    *,
    chunk: int = CHUNK,
    pause: float = PAUSE,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Delete what is older than `before`; return how many rows.

    Each chunk is a transaction of its own. Several workers may prune at once, and what was deleted before somebody
    cancels this stays deleted.

    Args:
        connections: to the database.
        table: the table of interactions.
        before: in UTC.
        chunk: rows of a chunk at most.
        pause: seconds between two chunks at least.
        clock: for how long a chunk took.

    Raises:
        ValueError: a chunk without rows, or a pause below 0.
        Unavailable: the database is away; what is left is left for another time.
    """
    if chunk < 1 or pause < 0:
        raise ValueError(f"chunk={chunk!r} is at least 1, pause={pause!r} at least 0")
    statement = _statement(table, connections.dialect.name)
    deleted = 0
    rows = min(_FIRST, chunk)

    async def types(connection: AsyncConnection) -> list[str]:
        return [event for (event,) in await connection.execute(event_types(table))]

    for event in await connections.single(types):
        full = True
        while full:
            values = {"event": event, "before": before, "rows": rows}

            async def remove(connection: AsyncConnection, values: dict[str, Any] = values) -> int:
                result: Any = await connection.execute(statement, values)
                return int(result.rowcount)

            began = clock()
            found = await connections.single(remove)
            took = clock() - began
            deleted += found
            full = found == rows
            rows = _fitting(rows, took, chunk) if full else rows
            if found:
                await asyncio.sleep(max(pause, took) if pause else 0)
    return deleted


def _fitting(rows: int, took: float, chunk: int) -> int:
    """Return how many rows the next chunk has: never more than twice as many, since one quick chunk says little."""
    wanted = int(rows * TARGET / took) if took > 0 else rows * 2
    return max(min(wanted, rows * 2, chunk), min(SMALLEST, chunk))


def _statement(table: Table, dialect: str) -> Delete:
    # By the index on event_type and created_at: no other has moments, and reading every row would take long.
    old = (
        select(table.c.id)
        .where(
            table.c.event_type == bindparam("event", type_=String),
            table.c.created_at < bindparam("before", type_=DateTime(timezone=True)),
        )
        .order_by(table.c.created_at)
        .limit(bindparam("rows"))
    )
    if dialect == "postgresql":
        # Rows that another worker is deleting are none of ours.
        old = old.with_for_update(skip_locked=True)
        # As an array they are looked for once; joined, they may be looked for again, and be more than the limit.
        return delete(table).where(table.c.id == any_(func.array(old.scalar_subquery())))
    if dialect in {"mysql", "mariadb"}:
        # These take no LIMIT right inside IN.
        old = select(old.subquery().c.id)
    return delete(table).where(table.c.id.in_(old))
