"""Writing events to a database that has no statement of its own: taken apart here, those that are there left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Integer, Table, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from belvedere.interactions.table import FIXED, WIDTH


def row(payload: bytes, table: Table, subject: str) -> dict[str, Any]:
    """Return the columns of an event.

    Raises:
        ValueError: it is not an event.
    """
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError:  # whose message shows where, and what is there
        raise ValueError("broken JSON") from None
    if not isinstance(event, dict):
        raise ValueError("not an object")
    found: dict[str, Any] = {name: event.get(name) for name in FIXED}
    for name in ("event_id", "event_type", "path", "method"):
        if not isinstance(found[name], str):
            raise ValueError(f"{name} is not a text")
    if type(found["status"]) is not int:
        raise ValueError("status is not a number")
    found["event_type"] = found["event_type"][:WIDTH]
    found["metadata"] = found["metadata"] or {}
    moment = found["created_at"]
    found["created_at"] = datetime.now(UTC) if moment is None else _moment(moment)
    found[subject] = _subject(event.get("subject"), counts=isinstance(table.c[subject].type, Integer))
    return found


def _moment(text: object) -> datetime:
    if not isinstance(text, str) or not text.endswith("Z"):
        raise ValueError("created_at is no moment")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("created_at is no moment") from None


def _subject(value: Any, *, counts: bool) -> Any:
    if value is None:
        return None
    if not counts:
        return str(value)[:WIDTH]
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if str(number) == str(value) and -(2**63) <= number < 2**63 else None


async def add(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert those of `rows` that are not there; return how many."""
    known = table.c.event_id
    for last in (False, True):
        found = await connection.execute(select(known).where(known.in_([one["event_id"] for one in rows])))
        there = set(found.scalars())
        new = {one["event_id"]: one for one in rows if one["event_id"] not in there}
        if not new:
            return 0
        try:
            async with connection.begin_nested():
                await connection.execute(insert(table), list(new.values()))
            return len(new)
        except IntegrityError:
            # Somebody else may have written one of them in between: it is there at the second look.
            if last:
                raise
    raise AssertionError
