"""Rows are kept for their time."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere import Interactions
from belvedere.interactions import retention as hourly
from tests.drive import observed, running
from tests.interactions.conftest import rows
from tests.interactions.shop import DEADLINE, shop, until


async def test_rows_are_kept_for_their_time(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than the retention goes, at some moment of each hour, by one worker."""
    interactions = Interactions(engine, retention=timedelta(days=30))
    # Not at a moment of its own choice, which may be now.
    monkeypatch.setattr(interactions._retention, "_next", float("inf"))
    await interactions.create_table()
    for name in ("old", "new"):
        await interactions.log(name)
    await rows(interactions)
    table = interactions.table
    async with engine.begin() as connection:
        old = datetime.now(UTC) - timedelta(days=31)
        await connection.execute(update(table).where(table.c.event_type == "old").values(created_at=old))
    assert await interactions.prune(timedelta(days=32)) == 0
    monkeypatch.setattr(interactions._retention, "_next", 0.0)
    app = shop(interactions)
    with observed(app, interactions) as obs:
        async with running(app):
            task = await until(lambda: interactions._retention._task)
            await asyncio.wait_for(task, DEADLINE)
            assert [row["event_type"] for row in await rows(interactions)] == ["new"]
            assert "rows kept for 30 days" in obs.report()["interactions"]["why"]
    assert interactions._folder is not None
    assert not hourly._Turn(interactions._folder).taken
    with pytest.raises(ValueError, match="needs a retention"):
        await Interactions(engine, "others").prune()


@pytest.mark.parametrize(("seconds", "taken"), [(-hourly.PERIOD, True), (-1, False), (1, False), (1_000_000, True)])
def test_a_clock_that_was_ahead_keeps_nobody_from_it(seconds: float, taken: bool, tmp_path: Path) -> None:
    """Whoever did it in a time to come, before the clock was put right, has not just done it."""
    first = hourly._Turn(tmp_path)
    first.over()
    first.end()
    (file,) = tmp_path.iterdir()
    os.utime(file, (time.time() + seconds,) * 2)
    turn = hourly._Turn(tmp_path)
    assert turn.taken is taken
    turn.end()


@pytest.mark.parametrize("retention", [float("nan"), float("inf"), 1e12])
async def test_days_that_nobody_can_count_are_refused(engine: AsyncEngine, retention: float) -> None:
    """With the error that other wrong arguments get, at the call."""
    with pytest.raises(ValueError, match="retention"):
        Interactions(engine, retention=retention)


async def test_the_longest_retention_keeps_everything(engine: AsyncEngine) -> None:
    """As `timedelta.max`, which goes back further than dates do."""
    interactions = Interactions(engine, journal=None, retention=timedelta.max)
    await interactions.create_table()
    await interactions.log("kept")
    assert len(await rows(interactions)) == 1
    assert await interactions.prune() == 0
    assert len((await interactions.query()).items) == 1
