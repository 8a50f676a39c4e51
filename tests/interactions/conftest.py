"""What tests of interactions share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from belvedere import Interactions
from belvedere.interactions.delivery import Delivery
from belvedere.interactions.journal import forks
from tests.interactions.shop import DEADLINE
from tests.process import fresh_process


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Begin without metrics, and without a journal of anybody's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with fresh_process(monkeypatch):
        yield


async def stopped() -> None:
    """Let no delivery be in the middle of a write: its connection would outlive the engine, or the loop."""
    for one in list(forks._all):
        if isinstance(one, Delivery):
            await one.stop()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An engine of a SQLite database of its own."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    yield engine
    await stopped()
    await engine.dispose()


@pytest.fixture
async def interactions(engine: AsyncEngine) -> AsyncIterator[Interactions]:
    """Interactions about scholarships, which are numbered."""
    interactions = Interactions(engine, subject="scholarship_id", subject_type=int)
    await interactions.create_table()
    yield interactions
    assert not interactions._marks._stripped


async def rows(interactions: Interactions) -> list[dict[str, Any]]:
    """Return all rows, the oldest first, once everything recorded is there."""
    assert await interactions.flush(DEADLINE)
    async with interactions._engine.connect() as connection:
        found = await connection.execute(select(interactions.table).order_by(interactions.table.c.id))
        return [dict(row) for row in found.mappings()]
