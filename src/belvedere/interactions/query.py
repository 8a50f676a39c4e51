"""Pages of interactions, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Select, Table, and_, bindparam, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from belvedere.interactions import cursor
from belvedere.interactions.eventtypes import event_types

LARGEST: Final = 1_000
"""Rows of a page at most."""

_BRANCHES: Final = 50
"""Event types that are asked for one by one; SQLite takes 500 at most."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of interactions."""

    items: list[Item]
    """Rows as dictionaries of their columns, the newest first; `created_at` is in UTC."""
    next: str | None
    """What `after` takes for the page that follows; None on the last one."""


def check(limit: int, after: str | None) -> tuple[datetime, int] | None:
    """Return where the page begins, None for the first.

    Raises:
        ValueError: a limit that no page has, or a cursor of none.
    """
    if type(limit) is not int or limit not in range(1, LARGEST + 1):
        raise ValueError(f"limit={limit!r}: it is 1 to {LARGEST:,}")
    return None if after is None else cursor.decode(after)


async def page(
    connection: AsyncConnection,
    table: Table,
    conditions: Sequence[ColumnElement[bool]],
    begin: tuple[datetime, int] | None,
    limit: int,
    *,
    by_type: bool,
) -> Page:
    """Return the rows that fulfil the conditions.

    Rows are in the order of `created_at`, not of `id`: what a killed worker left is written later than what came after
    it. The `id` decides among those of one moment. So a row that is written while somebody turns pages moves no other.

    Args:
        connection: to the database.
        table: the table of interactions.
        conditions: what each row must fulfil.
        begin: the last row of the page before.
        limit: rows of a page.
        by_type: whether neither an event's type nor a subject is among the conditions. No index has the moments of
            all rows; the newest are then the newest of the newest of each type.
    """
    if begin is not None:
        moment, number = (bindparam(None, begin[0], DateTime(timezone=True)), bindparam(None, begin[1], BigInteger))
        before = or_(table.c.created_at < moment, and_(table.c.created_at == moment, table.c.id < number))
        conditions = [*conditions, table.c.created_at <= moment, before]
    query = _newest(table, conditions, limit + 1)
    if by_type:
        types = list((await connection.execute(event_types(table).limit(_BRANCHES + 1))).scalars())
        if 1 < len(types) <= _BRANCHES:
            branches = [_newest(table, [*conditions, table.c.event_type == one], limit + 1) for one in types]
            merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
            query = select(merged).order_by(merged.c.created_at.desc(), merged.c.id.desc()).limit(limit + 1)
    found = [_item(row) for row in (await connection.execute(query)).mappings()]
    more = len(found) > limit
    del found[limit:]
    return Page(found, cursor.encode(found[-1]["created_at"], found[-1]["id"]) if more else None)


def _newest(table: Table, conditions: Sequence[ColumnElement[bool]], limit: int) -> Select[Any]:
    return select(table).where(*conditions).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)


def _item(row: Any) -> Item:
    item = dict(row)
    item["created_at"] = in_utc(item["created_at"])
    return item


def in_utc(value: datetime) -> datetime:
    """Return a moment as a database returned it in UTC; SQLite knows no time zones."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
