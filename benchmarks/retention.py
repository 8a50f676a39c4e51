"""Pruning a million interactions while another process writes, and how long its writes take."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere.interactions import pruning
from belvedere.interactions.store import Store
from benchmarks.backlog import payload, percentile

BOUND = 100.0
"""Milliseconds that no writer is to wait."""
NOISE = 10.0
"""Seconds in which the writer is watched before anything is pruned."""


def _write(url: str, pipe: Connection) -> None:
    """In a process of its own: write a row every 5 ms, and tell how long each took, whenever it is asked."""

    async def write() -> None:
        engine = create_async_engine(url)
        store = Store(engine)
        waits: list[float] = []
        number = 0
        while True:
            if pipe.poll():
                if pipe.recv() == "end":
                    break
                pipe.send(waits)
                waits = []
            number += 1
            event = payload(number)
            began = time.perf_counter()
            await store.write([event])
            waits.append((time.perf_counter() - began) * 1_000)
            await asyncio.sleep(0.005)
        await engine.dispose()

    asyncio.run(write())


@contextlib.contextmanager
def _writer(url: str) -> Iterator[Callable[[], list[float]]]:
    """Give what tells how long each write took since it was asked last, in ms."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_write, args=(url, there), daemon=True)
    process.start()

    def ask() -> list[float]:
        here.send("tell")
        found: list[float] = here.recv()
        return found

    try:
        yield ask
    finally:
        here.send("end")
        process.join(30)
        if process.is_alive():
            process.kill()


_MANY = """
    INSERT INTO interactions
        (event_id, event_type, user_id, subject, path, method, status, trace_id, metadata, created_at)
    SELECT {id}, 'event ' || (n % 10), 'user-' || (n % 1000), n % 500, '/scholarships/' || (n % 500), 'GET', 200, {id},
        '{{"query": "engineering", "limit": 20}}', {moment}
    FROM {numbers}
"""


@dataclass(frozen=True)
class Pruned:
    """What pruning did, in ms."""

    rate: float
    """Rows a second."""
    longest: float
    """The chunk that took longest, as the pruning process sees it."""
    before: list[float]
    """What each write took before."""
    meanwhile: list[float]

    def cells(self) -> list[str]:
        figures = (
            self.longest,
            percentile(self.before),
            max(self.before),
            statistics.median(self.meanwhile),
            percentile(self.meanwhile),
            max(self.meanwhile),
        )
        over = sum(wait > BOUND for wait in self.meanwhile)
        return [
            f"{self.rate:,.0f}",
            *(f"{figure:.1f}" for figure in figures),
            f"{over} of {len(self.meanwhile):,}",
            f"{sum(wait > BOUND for wait in self.before)} of {len(self.before):,}",
        ]


async def pruned(url: str, rows: int, mode: str | None) -> Pruned:
    """Prune so many rows while another process writes."""
    engine = create_async_engine(url)
    store = Store(engine)
    if mode is None:
        values = {"id": "md5(n::text)", "numbers": "generate_series(1, :rows) n"}
        values["moment"] = "timestamptz '2026-01-01' + n * interval '1 second'"
    else:
        numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT :rows) SELECT n FROM c"
        values = {"id": "lower(hex(randomblob(16)))", "numbers": f"({numbers})"}
        values["moment"] = "strftime('%Y-%m-%d %H:%M:%S.000000', 1767225600 + n, 'unixepoch')"
        async with engine.connect() as connection:
            await connection.execute(text(f"PRAGMA journal_mode = {mode}"))
    await store.create()
    async with engine.begin() as connection:
        await connection.execute(text(_MANY.format(**values)), {"rows": rows})
    with _writer(url) as ask:
        await asyncio.to_thread(ask)
        await asyncio.sleep(NOISE)
        before = await asyncio.to_thread(ask)
        began = time.perf_counter()
        moments: list[float] = []

        def clock() -> float:
            moments.append(time.perf_counter())
            return moments[-1]

        until = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=rows + 1)
        deleted = await pruning.prune(store._connections, store.table, until, clock=clock)
        took = time.perf_counter() - began
        meanwhile = await asyncio.to_thread(ask)
    await engine.dispose()
    if deleted != rows:
        raise RuntimeError(f"{deleted} of {rows} rows were pruned")
    longest = max(end - start for start, end in zip(moments[::2], moments[1::2], strict=True))
    return Pruned(rows / took, longest * 1_000, before, meanwhile)
