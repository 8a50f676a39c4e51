"""Tables with orders, and engines over them, for the tests of SQLAlchemy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import Index

from tests.drive import samples


class Base(DeclarativeBase):
    metadata = MetaData()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


orders: Any = Order.__table__
lines_table = Table("order_lines", Base.metadata, Column("id", Integer, primary_key=True), Column("order", Integer))
bare = Table("bare", MetaData(), Column("name", String))
Index("by_name", bare.c.name)
sub = select(orders).subquery()
tree = select(orders.c.id).cte("tree", recursive=True)
tree = tree.union_all(select(tree.c.id + 1).where(tree.c.id < 3))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A sync engine over SQLite, with two tables."""
    made = create_engine(f"sqlite:///{tmp_path}/orders.db")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An async engine over PostgreSQL, with two connections at most."""
    made = create_async_engine(postgres_url, pool_size=2, max_overflow=0)
    yield made
    await made.dispose()


async def counted(app: FastAPI, name: str = "database_queries_total") -> dict[tuple[str, ...], float]:
    """Scrape; return the counts by operation and table."""
    found = await samples(app, name)
    return {tuple(text.split('"')[1::2]): value for text, value in found.items() if "_sum" not in text}
