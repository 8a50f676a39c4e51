"""Old rows go, and nobody who writes waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from belvedere.interactions import pruning
from belvedere.interactions.store import Store
from tests.interactions.store.databases import opened
from tests.interactions.store.events import payload

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def filled(engine: AsyncEngine, count: int, *, minutes: float = 1) -> Store:
    """Return a store with so many interactions before NOW, of three events."""
    store = Store(engine)
    await store.create()
    batch = []
    for number in range(1, count + 1):
        moment = NOW - timedelta(minutes=minutes * number)
        created_at = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        batch.append(payload(event_type=f"event {number % 3}", created_at=created_at))
    for start in range(0, count, 5_000):
        await store.write(batch[start : start + 5_000])
    return store


async def count(store: Store, engine: AsyncEngine) -> int:
    """Return how many rows there are."""
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(store.table)) or 0)


@pytest.mark.parametrize("zone", [UTC, None, timezone(timedelta(hours=-11))])
async def test_what_is_older_goes(engine: AsyncEngine, zone: timezone | None) -> None:
    """Of every event, in chunks; a row of that very moment stays. A moment without time zone is UTC."""
    store = await filled(engine, 100)
    before = NOW - timedelta(minutes=30)
    before = before.replace(tzinfo=None) if zone is None else before.astimezone(zone)
    assert await store.prune(before, chunk=7, pause=0) == 70
    assert await count(store, engine) == 30
    oldest = (await store.query(limit=30)).items[-1]
    assert oldest["created_at"] == NOW - timedelta(minutes=30)
    assert await store.prune(before) == 0


async def test_several_at_once(engine: AsyncEngine) -> None:
    """Each row is deleted by one of them, and none fails."""
    store = await filled(engine, 3_000)
    deleted = await asyncio.gather(*(store.prune(NOW, chunk=200, pause=0) for _ in range(4)))
    assert await count(store, engine) == 0
    assert sum(deleted) == 3_000


async def test_it_can_be_cancelled(engine: AsyncEngine) -> None:
    """What was deleted stays deleted, the rest is there, and another one finishes it."""
    store = await filled(engine, 500)
    task = asyncio.create_task(store.prune(NOW, chunk=10, pause=0.01))
    async with asyncio.timeout(60):
        while await count(store, engine) == 500:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    left = await count(store, engine)
    assert 0 < left < 500
    # A chunk whose cancelling came too late is deleted all the same.
    assert left - 10 <= await store.prune(NOW, pause=0) <= left
    assert await count(store, engine) == 0


def test_chunks_fit_the_time_that_they_take() -> None:
    """A slow chunk makes the next one smaller at once, a quick one twice as large at most."""
    fitting = pruning._fitting
    assert fitting(100, pruning.TARGET / 100, 2_000) == 200
    assert fitting(1_500, pruning.TARGET / 10, 2_000) == 2_000
    assert fitting(1_000, pruning.TARGET * 5, 2_000) == 200
    assert fitting(1_000, 60.0, 2_000) == pruning.SMALLEST
    assert fitting(5, 60.0, 5) == 5
    assert fitting(100, 0.0, 2_000) == 200


@pytest.mark.parametrize("arguments", [{"chunk": 0}, {"pause": -1}])
async def test_wrong_arguments(engine: AsyncEngine, arguments: dict[str, int]) -> None:
    """The error says what was given."""
    store = Store(engine)
    await store.create()
    with pytest.raises(ValueError, match=r"is at least 1"):
        await store.prune(NOW, **arguments)


@pytest.mark.parametrize("mode", ["DELETE", "WAL", None])
async def test_a_writer_goes_on(mode: str | None, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """While thousands of rows are deleted, 98 of 100 writes take less than 100 ms more than one does before.

    In the best of ten rounds: disk and processors have other users. `python -m benchmarks interactions` deletes a
    million rows and looks at the slowest write.
    """
    url = f"sqlite+aiosqlite:///{tmp_path}/rows.db" if mode else request.getfixturevalue("postgres_url")
    async with opened(url) as engine:
        if mode is not None:
            async with engine.connect() as connection:
                await connection.execute(text(f"PRAGMA journal_mode = {mode}"))
        slowest = 1.0
        for _ in range(10):
            usual, waits = await _waits_while_pruning(engine)
            if len(waits) > 10:  # else the writer had too few turns for the round to say anything
                slowest = min(slowest, sorted(waits)[-max(len(waits) // 50, 1)] - usual)
            if slowest < 0.1:
                break
        assert slowest < 0.1


async def _waits_while_pruning(engine: AsyncEngine) -> tuple[float, list[float]]:
    """Return the seconds that a write took before, and those that writes took while 6,000 rows were deleted."""
    store = await filled(engine, 6_000, minutes=0.1)
    elsewhere = await _sibling(engine)
    writer = Store(elsewhere)

    async def write() -> float:
        began = time.perf_counter()
        await writer.write([payload(created_at="2026-12-01T00:00:00.000000Z")])
        return time.perf_counter() - began

    usual = statistics.median([await write() for _ in range(15)])
    task = asyncio.create_task(store.prune(NOW))
    waits = []
    while not task.done():
        waits.append(await write())
        await asyncio.sleep(0.002)
    assert await task == 6_000
    await elsewhere.dispose()
    return usual, waits


async def _sibling(engine: AsyncEngine) -> AsyncEngine:
    """Return another engine of the same database, as another worker has."""
    if engine.dialect.name == "sqlite":
        return create_async_engine(engine.url)
    async with engine.connect() as connection:
        schema = await connection.scalar(text("SELECT current_schema()"))
    return create_async_engine(engine.url, connect_args={"server_settings": {"search_path": schema}})
