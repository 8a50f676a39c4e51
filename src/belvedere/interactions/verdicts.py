"""What a failure of the database means: the event can never be written, or not now."""

from __future__ import annotations

import os
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from belvedere.interactions.table import FIXED


class Unavailable(Exception):  # noqa: N818
    """The database did not do it now: away, locked, slow, full, or without the table. It is to be tried again.

    The message holds no value of an event and no password.

    Args:
        why: what happened.
        rows: how many rows of the same batch were written before.
    """

    def __init__(self, why: str, rows: int = 0) -> None:
        super().__init__(why)
        self.rows = rows


_EVENT_CLASSES: Final = frozenset({"22", "23", "54"})
"""Classes of SQLSTATE that are an event's fault: data, integrity, limits of the program
(https://www.postgresql.org/docs/current/errcodes-appendix.html)."""

_EVENT_ERRORS: Final = ("SQLITE_CONSTRAINT", "SQLITE_TOOBIG", "SQLITE_MISMATCH")

_TABLE_FAULTS: Final = frozenset({"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})
"""An event that is there already is no error; so this is about another column, such as an id from a sequence that was
not set when a backup was restored. Somebody must repair that, and no event is lost until then."""

_NOT_NULL: Final = frozenset({"23502", "SQLITE_CONSTRAINT_NOTNULL"})

_UNDONE: Final = frozenset({"40001", "40P01"})
"""A serialisation failure and a deadlock: whoever meets one is to try the whole transaction again
(https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html)."""

_HINTS: Final = {
    "42P01": "there is no such table; create_table() or the migration makes it",
    "42703": "the table lacks a column",
    "42P10": "event_id is not unique in the table",
    "42501": "no permission",
    "53100": "the disk is full",
    "53300": "too many connections",
    "40P01": "a deadlock",
    "40001": "a serialisation failure",
    "55P03": "locked",
    "57014": "cancelled, or slower than its statement time-out",
    "57P01": "it is being shut down",
    "57P03": "it is starting or stopping",
    "28P01": "the password was refused",
    "3D000": "there is no such database",
    "25006": "it is read-only",
    "08003": "the connection was lost",
    "08006": "the connection was lost",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "it is read-only",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "no such table": "there is no such table; create_table() or the migration makes it",
    "has no column": "the table lacks a column",
    "ON CONFLICT clause": "event_id is not unique in the table",
}


def refusal(error: BaseException) -> str | None:
    """Return why the event that caused `error` will never be written; None where that is not said."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if not isinstance(error, DBAPIError):
        return None
    state, name = _state(error), _sqlite(error)
    if state in _TABLE_FAULTS or name in _TABLE_FAULTS or _needs_other(error, state or name):
        return None
    if state is not None:
        return f"{_kind(error)} ({state})" if state[:2] in _EVENT_CLASSES else None
    if name is not None:
        if name.startswith(_EVENT_ERRORS):
            return f"{_kind(error)} ({name})"
        return "broken JSON" if "malformed JSON" in str(error.orig) else None
    return _kind(error) if isinstance(error, DataError | IntegrityError) else None


def undone(error: BaseException) -> bool:
    """Whether the database has undone the work for the sake of somebody else's, and would do it now."""
    return _state(error) in _UNDONE


def describe(error: BaseException) -> str:
    """Return what happened in a few words, none of which come from an event or a database's URL."""
    if isinstance(error, PoolTimeoutError):
        return "no connection of the engine's pool became free"
    if isinstance(error, OSError) and error.errno is not None:
        # asyncio's own text names the address; the number is all that is needed.
        return os.strerror(error.errno) if error.errno > 0 else type(error).__name__
    if (state := _state(error)) is not None:
        return f"{_HINTS.get(state, _kind(error))} ({state})"
    if (name := _sqlite(error)) is None:
        return _kind(error)
    # SQLite has one name for many errors, and its texts name tables and columns alone.
    texts = f"{name} {_driver(error)}"
    return f"{next((said for part, said in _HINTS.items() if part in texts), _kind(error))} ({name})"


def _needs_other(error: BaseException, code: str | None) -> bool:
    """Whether the table wants a value for a column which is not one of ours: no event would do."""
    if code not in _NOT_NULL:
        return False
    driver = _driver(error)
    column = getattr(driver.__cause__, "column_name", None) or str(driver).rpartition(".")[2]
    return column.isidentifier() and column not in FIXED


def _driver(error: BaseException) -> BaseException:
    """Return the driver's own exception."""
    if isinstance(error, SQLAlchemyError):
        error = getattr(error, "orig", None) or error
    return error


def _kind(error: BaseException) -> str:
    driver = _driver(error)
    return type(driver.__cause__ or driver).__name__


def _state(error: BaseException) -> str | None:
    """Return the SQLSTATE, where the driver tells it."""
    driver = _driver(error)
    found = getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)
    return found if isinstance(found, str) else None


def _sqlite(error: BaseException) -> str | None:
    found = getattr(_driver(error), "sqlite_errorname", None)
    return found if isinstance(found, str) else None
