"""Make the table of users, and let scholarships have an owner."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("username", sa.String(100), primary_key=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        if_not_exists=True,
    )
    if not _has_owner():
        op.add_column("scholarships", sa.Column("owner", sa.String(100)))


def downgrade() -> None:
    op.drop_column("scholarships", "owner")
    op.drop_table("users", if_exists=True)


def _has_owner() -> bool:
    if op.get_context().as_sql:  # there is no database to ask
        return False
    return any(column["name"] == "owner" for column in sa.inspect(op.get_bind()).get_columns("scholarships"))
