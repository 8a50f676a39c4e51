"""The table of interactions: its columns, its names, its indexes."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

FIXED: Final = (
    "event_id",
    "event_type",
    "user_id",
    "path",
    "method",
    "status",
    "trace_id",
    "metadata",
    "created_at",
)
"""The columns that an event fills, besides the subject's."""

WIDTH: Final = 255
"""Characters of an indexed text; longer ones are cut. PostgreSQL takes no index entry above 2,704 bytes."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST: Final = 63
"""Characters of a name in PostgreSQL, the strictest of the databases."""


def define(
    name: str = "interactions",
    subject: str = "subject",
    subject_type: type = str,
    schema: str | None = None,
    metadata: MetaData | None = None,
) -> Table:
    """Return the table, as it is to be or as `metadata` has it already.

    Args:
        name: the table's name.
        subject: the name of the column for what an event is about, `scholarship_id` for example.
        subject_type: `str` or `int` (64 bits).
        schema: where the table lies, if not in the database's default schema.
        metadata: what it becomes part of: the application's own, so that Alembic's autogenerate knows of the table.

    Raises:
        ValueError: a name that is no identifier, a subject called like another column, a type that is neither, or a
            table of that name in `metadata` which lacks columns.
    """
    for what, given in (("table", name), ("subject", subject), *((("schema", schema),) if schema is not None else ())):
        if not isinstance(given, str) or not _IDENTIFIER.fullmatch(given) or len(given) > _LONGEST:
            raise ValueError(
                f"{what}={given!r} is no name: it takes letters, digits and underscores, {_LONGEST} at most, "
                "and does not begin with a digit"
            )
    if subject in {"id", *FIXED}:
        raise ValueError(f"subject={subject!r} is the name of another column of the table")
    if subject_type not in (str, int):
        raise ValueError(f"subject_type={subject_type!r}: it is str or int")
    metadata = MetaData() if metadata is None else metadata
    known = metadata.tables.get(name if schema is None else f"{schema}.{name}")
    if known is not None:
        if lacking := [column for column in ("id", *FIXED, subject) if column not in known.c]:
            raise ValueError(f"the metadata has a table {name} without {', '.join(lacking)}")
        return known
    return Table(name, metadata, *_columns(name, subject, subject_type), schema=schema)


def _columns(name: str, subject: str, subject_type: type) -> list[Any]:
    # SQLite counts up an INTEGER alone.
    whole: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
    about: TypeEngine[Any] = String(WIDTH) if subject_type is str else BigInteger()
    return [
        Column("id", whole, primary_key=True, autoincrement=True),
        Column("event_id", String(32), nullable=False),
        Column("event_type", String(WIDTH), nullable=False),
        Column("user_id", Text),
        Column(subject, about),
        Column("path", Text, nullable=False),
        Column("method", Text, nullable=False),
        Column("status", Integer, nullable=False),
        Column("trace_id", Text),
        Column("metadata", JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        Column(
            "created_at",
            DateTime(timezone=True),
            nullable=False,
            default=lambda: datetime.now(UTC),
            server_default=func.now(),
        ),
        UniqueConstraint("event_id", name=_named("uq", name, "event_id")),
        Index(_named("ix", name, "event_type_created_at"), "event_type", "created_at"),
        Index(_named("ix", name, subject), subject),
    ]


def _named(kind: str, table: str, of: str) -> str:
    """Return the name of an index or a constraint, shortened so that it stays one of its own."""
    name = f"{kind}_{table}_{of}"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{digest}"
