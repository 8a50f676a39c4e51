"""Make the table of scholarships and its full-text index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# PostgreSQL's parser takes `and/or` and `data.science` for a file and a host, each one word; SQLite has two in either.
_SEARCH_VECTOR = " || ".join(
    f"setweight(to_tsvector('english', translate({column}, '/.@:_-', '      ')), '{weight}')"
    for column, weight in (
        ("title", "A"),
        ("field_of_study", "B"),
        ("provider", "B"),
        ("country", "C"),
        ("description", "D"),
    )
)

# An index without texts of its own; triggers keep it up to date (https://www.sqlite.org/fts5.html, section 4.4.3).
_FTS5 = (
    """
    CREATE VIRTUAL TABLE IF NOT EXISTS scholarships_fts USING fts5(
        title, field_of_study, provider, country, description,
        content='scholarships', content_rowid='id', tokenize='porter unicode61 remove_diacritics 0'
    )
    """,
    """
    CREATE TRIGGER IF NOT EXISTS scholarships_fts_insert AFTER INSERT ON scholarships BEGIN
        INSERT INTO scholarships_fts (rowid, title, field_of_study, provider, country, description)
        VALUES (new.id, new.title, new.field_of_study, new.provider, new.country, new.description);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS scholarships_fts_delete AFTER DELETE ON scholarships BEGIN
        INSERT INTO scholarships_fts (scholarships_fts, rowid, title, field_of_study, provider, country, description)
        VALUES ('delete', old.id, old.title, old.field_of_study, old.provider, old.country, old.description);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS scholarships_fts_update AFTER UPDATE ON scholarships BEGIN
        INSERT INTO scholarships_fts (scholarships_fts, rowid, title, field_of_study, provider, country, description)
        VALUES ('delete', old.id, old.title, old.field_of_study, old.provider, old.country, old.description);
        INSERT INTO scholarships_fts (rowid, title, field_of_study, provider, country, description)
        VALUES (new.id, new.title, new.field_of_study, new.provider, new.country, new.description);
    END
    """,
    "INSERT INTO scholarships_fts (scholarships_fts) VALUES ('rebuild')",
)


def upgrade() -> None:
    postgres = op.get_context().dialect.name == "postgresql"
    columns: list[sa.Column[object]] = [
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.Column("deadline", sa.Date, nullable=False),
        sa.Column("field_of_study", sa.String(100), nullable=False),
        sa.Column("level", sa.String(20), nullable=False),
        sa.Column("country", sa.String(100), nullable=False),
        sa.Column("min_gpa", sa.Double),
        sa.Column("url", sa.String(500), nullable=False),
    ]
    if postgres:
        columns.append(sa.Column("search_vector", TSVECTOR, sa.Computed(_SEARCH_VECTOR, persisted=True)))
    op.create_table(
        "scholarships",
        *columns,
        sa.CheckConstraint("amount >= 0", name="ck_scholarships_amount"),
        sa.CheckConstraint("min_gpa >= 0 AND min_gpa <= 4", name="ck_scholarships_min_gpa"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("ix_scholarships_deadline", "scholarships", ["deadline"], if_not_exists=True)
    op.create_index("ix_scholarships_amount", "scholarships", ["amount"], if_not_exists=True)
    if postgres:
        op.create_index(
            "ix_scholarships_search_vector",
            "scholarships",
            ["search_vector"],
            postgresql_using="gin",
            if_not_exists=True,
        )
    else:
        for statement in _FTS5:
            op.execute(statement)


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        op.execute("DROP TABLE IF EXISTS scholarships_fts")
    op.drop_table("scholarships", if_exists=True)
