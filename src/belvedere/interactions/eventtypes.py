"""The event types that a table holds.

There are few of them, and the index that begins with them tells them without reading the rows: each step looks for the
next one (https://wiki.postgresql.org/wiki/Loose_indexscan).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Table, func, select


def event_types(table: Table) -> Select[Any]:
    """Return the query for them, in order."""
    column = table.c.event_type
    first = select(func.min(column).label("event_type")).cte("event_types", recursive=True)
    following = select(func.min(column)).where(column > first.c.event_type).scalar_subquery()
    steps = first.union_all(select(following).where(first.c.event_type.is_not(None)))
    return select(steps.c.event_type).where(steps.c.event_type.is_not(None))
