"""Make the table of interactions."""

from __future__ import annotations

from alembic import op

from belvedere.interactions import migration

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    migration.upgrade(op, subject="scholarship_id", subject_type=int)


def downgrade() -> None:
    migration.downgrade(op, subject="scholarship_id", subject_type=int)
