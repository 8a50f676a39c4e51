"""How many interactions there were, of which event and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from sqlalchemy import DateTime, Table, case, func, literal_column, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from belvedere.interactions.query import in_utc

Bucket = Literal["minute", "hour", "day", "week", "month"]
BUCKETS: Final[tuple[str, ...]] = get_args(Bucket)

CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True, slots=True)
class Row:
    """The interactions of one event, in one stretch of time if there are such."""

    event: str
    start: datetime | None
    """When the stretch begins, in UTC; a week begins on Monday. None if the summary has no stretches."""
    count: int
    users: int
    """How many different users; requests of nobody do not count."""
    first: datetime
    last: datetime
    statuses: dict[str, int] = field(default_factory=dict)
    """How many of each class of status: `2xx`, `4xx`, …; those that did not occur are left out."""


def check(bucket: str | None) -> None:
    """Raise ValueError unless it is a stretch of time that a summary knows."""
    if bucket is not None and bucket not in BUCKETS:
        raise ValueError(f"bucket={bucket!r}: it is one of {', '.join(BUCKETS)}")


async def summarise(
    connection: AsyncConnection, table: Table, conditions: Sequence[ColumnElement[bool]], bucket: Bucket | None
) -> list[Row]:
    """Return a row for each event and stretch that has interactions, in the order of time, then of events."""
    at = table.c.created_at
    start = _start(at, bucket, connection.dialect.name)
    if start is None:
        return await _counted_here(connection, table, conditions, bucket or "minute")
    per_class = [
        func.sum(case((table.c.status.between(each * 100, each * 100 + 99), 1), else_=0)).label(f"status_{each}")
        for each in range(1, 6)
    ]
    counted = (func.count(), func.count(table.c.user_id.distinct()), func.min(at), func.max(at))
    grouped = [table.c.event_type] if bucket is None else [table.c.event_type, start]
    query = (
        select(table.c.event_type, start, *counted, *per_class)
        .where(*conditions)
        .group_by(*grouped)
        .order_by(start, table.c.event_type)
    )
    return [
        Row(
            event,
            None if begin is None else in_utc(begin),
            count,
            users,
            in_utc(first),
            in_utc(last),
            {name: int(number) for name, number in zip(CLASSES, numbers, strict=True) if number},
        )
        for event, begin, count, users, first, last, *numbers in await connection.execute(query)
    ]


def _start(at: ColumnElement[Any], bucket: Bucket | None, dialect: str) -> ColumnElement[Any] | None:
    """Return when the stretch of a row begins, None where the database has no words for it."""
    if bucket is None:
        return type_coerce(literal_column("NULL"), DateTime(timezone=True)).label("start")
    if dialect == "postgresql":
        return func.date_trunc(literal_column(f"'{bucket}'"), at, literal_column("'UTC'")).label("start")
    if dialect != "sqlite":
        return None
    # In whole seconds: SQLite rounds to milliseconds, the last half of a day's last one into the next day.
    at = func.substr(at, 1, 19)
    # `weekday 1` goes on to the next Monday, and stays where it is one.
    arguments = {
        "minute": ("%Y-%m-%d %H:%M:00.000000", at),
        "hour": ("%Y-%m-%d %H:00:00.000000", at),
        "day": ("%Y-%m-%d 00:00:00.000000", at),
        "week": ("%Y-%m-%d 00:00:00.000000", at, "-6 days", "weekday 1"),
        "month": ("%Y-%m-01 00:00:00.000000", at),
    }[bucket]
    return type_coerce(func.strftime(*arguments), DateTime(timezone=True)).label("start")


def start_of(moment: datetime, bucket: Bucket) -> datetime:
    """Return when the stretch begins that a moment in UTC lies in."""
    if bucket == "minute":
        return moment.replace(second=0, microsecond=0)
    if bucket == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if bucket == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if bucket == "month" else day


async def _counted_here(
    connection: AsyncConnection, table: Table, conditions: Sequence[ColumnElement[bool]], bucket: Bucket
) -> list[Row]:
    """Count row by row: right on any database, and as slow as reading them all."""
    columns = (table.c.event_type, table.c.created_at, table.c.user_id, table.c.status)
    rows: dict[tuple[datetime, str], Row] = {}
    users: dict[tuple[datetime, str], set[str]] = {}
    async for event, moment, user, status in await connection.stream(select(*columns).where(*conditions)):
        moment = in_utc(moment)
        key = (start_of(moment, bucket), event)
        so_far = rows.get(key) or Row(event, key[0], 0, 0, moment, moment)
        if user is not None:
            users.setdefault(key, set()).add(user)
        if 100 <= status <= 599:
            name = CLASSES[status // 100 - 1]
            so_far.statuses[name] = so_far.statuses.get(name, 0) + 1
        first, last = min(so_far.first, moment), max(so_far.last, moment)
        rows[key] = Row(event, key[0], so_far.count + 1, len(users.get(key, ())), first, last, so_far.statuses)
    for row in rows.values():
        found = sorted(row.statuses.items())
        row.statuses.clear()
        row.statuses.update(found)
    return [rows[key] for key in sorted(rows)]
