"""Which interactions are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Integer, Table, bindparam, false
from sqlalchemy.sql.elements import ColumnElement


def moment(name: str, value: datetime) -> datetime:
    """Return a moment in UTC; one without a time zone is taken as UTC.

    Raises:
        ValueError: it is no datetime, or its year in UTC is none of 1 to 9999.
    """
    if not isinstance(value, datetime):
        raise ValueError(f"{name}= is a datetime, not {value!r}")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name}= is out of range") from None


def conditions(
    table: Table,
    subject: str,
    *,
    event: str | None,
    user: str | None,
    about: str | int | None,
    since: datetime | None,
    until: datetime | None,
) -> Sequence[ColumnElement[bool]]:
    """Return what a row must fulfil, everything that is given at once.

    Args:
        table: the table of interactions.
        subject: the column for what an event is about.
        event: the event's type.
        user: who it was.
        about: the subject's value; a number may be given as text.
        since: the first moment.
        until: the first moment that is no longer asked for.

    Raises:
        ValueError: a subject that is no number where subjects are numbers, or a moment out of range.
    """
    found: list[ColumnElement[bool]] = []
    if event is not None:
        found.append(_equal(table.c.event_type, str(event)))
    if user is not None:
        found.append(_equal(table.c.user_id, str(user)))
    if about is not None:
        column: Any = table.c[subject]
        if isinstance(column.type, Integer):
            # Of 64 bits whatever the column has, which may be the application's own: PostgreSQL refuses what is longer.
            found.append(column == bindparam(None, _number(about), BigInteger))
        else:
            found.append(_equal(column, str(about)))
    if since is not None:
        found.append(table.c.created_at >= moment("since", since))
    if until is not None:
        found.append(table.c.created_at < moment("until", until))
    return found


def _equal(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    # What PostgreSQL cannot keep is in no row, and asking for it would be an error.
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return false()
    return column == text


def _number(value: str | int) -> int:
    try:
        number = int(value)
        if number != value and not isinstance(value, str):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueError("subject= is no number") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError("subject= is out of range")
    return number
