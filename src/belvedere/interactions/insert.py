"""Writing events as they lie in the journal: the database takes the JSON apart, not the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Executable,
    Integer,
    Numeric,
    String,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from belvedere.interactions.table import FIXED, WIDTH

BATCH: Final = "batch"
"""The parameter of the statements: a JSON array of events."""

_FROM, _TO = -(2**63), 2**63 - 1


def statement(table: Table, dialect: Dialect, subject: str) -> Executable | None:
    """Return the statement that inserts a batch and leaves the events that are there, None for other databases."""
    if dialect.name == "postgresql":
        return _postgresql(table, subject)
    if dialect.name == "sqlite":
        return _sqlite(table, subject)
    return None


def joined(payloads: Sequence[bytes]) -> str:
    """Return a JSON array of the payloads, none of which is read.

    Raises:
        UnicodeDecodeError: one of them is not UTF-8.
    """
    return (b"[" + b",".join(payloads) + b"]").decode()


def _postgresql(table: Table, subject: str) -> Executable:
    # json, not jsonb: an event's own text is then read once, and only its metadata become jsonb. A third faster.
    array = cast(bindparam(BATCH, type_=Text), postgresql.JSON)
    event = (
        func.json_to_recordset(array)
        .table_valued(
            *(column(name, Text) for name in ("event_id", "event_type", "user_id", "path", "method", "trace_id")),
            column("subject", Text),
            column("status", Integer),
            column("metadata", postgresql.JSONB),
            column("created_at", DateTime(timezone=True)),
        )
        .render_derived(name="event", with_types=True)
    )
    about: ColumnElement[Any] = event.c.subject
    if _counts(table, subject):
        text = event.c.subject
        number = cast(text, Numeric)
        about = case(
            (text.regexp_match("^(0|-?[1-9][0-9]{0,17})$"), cast(text, BigInteger)),
            (
                text.regexp_match("^-?[1-9][0-9]{18}$"),
                case((number.between(literal_column(str(_FROM)), literal_column(str(_TO))), cast(text, BigInteger))),
            ),
        )
    else:
        about = func.substr(about, 1, WIDTH)
    # Of JSON, null is a value.
    metadata = func.nullif(event.c.metadata, cast(literal("null", Text), postgresql.JSONB))
    values = {
        **{name: event.c[name] for name in FIXED},
        "event_type": func.substr(event.c.event_type, 1, WIDTH),
        "metadata": func.coalesce(metadata, cast(literal("{}", Text), postgresql.JSONB)),
        "created_at": func.coalesce(event.c.created_at, func.now()),
        subject: about,
    }
    return (
        postgresql.insert(table)
        .from_select(list(values), select(*values.values()).select_from(event), include_defaults=False)
        .on_conflict_do_nothing(index_elements=[table.c.event_id])
    )


def _sqlite(table: Table, subject: str) -> Executable:
    events = func.json_each(bindparam(BATCH, type_=Text)).table_valued(column("value", Text), name="events")
    text = events.c.value
    fields = [type_coerce(func.json_extract(text, f"$.{name}"), Text).label(name) for name in (*FIXED, "subject")]
    kind = func.json_type(text, "$.metadata").label("metadata_kind")
    # The LIMIT keeps SQLite from taking each event apart again wherever a field is used.
    event = select(*fields, kind).select_from(events).limit(-1).subquery("event")
    about: ColumnElement[Any] = event.c.subject
    if _counts(table, subject):
        number = cast(about, Integer)
        about = case(
            (func.typeof(about) == "integer", about),
            (and_(func.typeof(about) == "text", cast(number, String) == about), type_coerce(number, Text)),
        )
    else:
        about = func.substr(about, 1, WIDTH)
    values = {
        **{name: event.c[name] for name in FIXED},
        "event_type": func.substr(event.c.event_type, 1, WIDTH),
        # The column would keep a text that is no number, and nobody could read it any more.
        "status": case((func.typeof(event.c.status) == "integer", event.c.status)),
        "metadata": type_coerce(case((event.c.metadata_kind == "object", event.c.metadata), else_="{}"), JSON),
        "created_at": case((event.c.created_at.is_(None), _now()), else_=_moment(event.c.created_at)),
        subject: about,
    }
    # Without a WHERE, SQLite takes the ON of ON CONFLICT for one of a join (https://sqlite.org/lang_upsert.html).
    source = select(*values.values()).select_from(event).where(true())
    return (
        sqlite.insert(table)
        .from_select(list(values), source, include_defaults=False)
        .on_conflict_do_nothing(index_elements=[table.c.event_id])
    )


def _moment(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a moment as SQLAlchemy keeps it in SQLite, null if it is none: a wrong one could not be read again."""
    seconds, rest = func.substr(text, 1, 19), func.substr(text, 20)
    valid = and_(
        # By way of a number, which turns the 31st of February into the 3rd of March.
        func.strftime("%Y-%m-%dT%H:%M:%S", func.strftime("%s", seconds), "unixepoch") == seconds,
        or_(rest == "Z", rest.op("GLOB")(f".{'[0-9]' * 6}Z")),
    )
    fraction = func.substr(func.replace(rest, "Z", ".000000"), 1, 7)
    return case((valid, func.replace(seconds, "T", " ").op("||")(fraction)))


def _now() -> ColumnElement[Any]:
    return func.strftime("%Y-%m-%d %H:%M:%f000", "now")


def _counts(table: Table, subject: str) -> bool:
    return isinstance(table.c[subject].type, Integer)
