"""SQLAlchemy: a check, metrics of statements and of the pool, slow queries, spans, and whether it is migrated."""

from belvedere.integrations._sqlalchemy.part import sqlalchemy

__all__ = ["sqlalchemy"]
