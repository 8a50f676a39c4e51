"""Draining a journal of interactions to PostgreSQL, and whom the event loop keeps waiting meanwhile.

A task that wants to run every millisecond tells how late it was, and how long the loop's thread had worked at a
stretch: the first is what requests see, on a machine with other users as well; the second is Belvedere's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere.interactions.journal import Journal
from belvedere.interactions.store import Store

TICK = 0.001
"""Seconds between two looks at the loop."""


def payload(number: int) -> bytes:
    """Return an event as a search leaves it."""
    return orjson.dumps(
        {
            "event_id": uuid.uuid4().hex,
            "event_type": ("list_scholarships", "view_scholarship", "search_scholarships")[number % 3],
            "user_id": f"user-{number % 1_000}",
            "subject": number % 500,
            "path": f"/scholarships/{number % 500}",
            "method": "GET",
            "status": 200,
            "trace_id": uuid.uuid4().hex,
            "metadata": {"query": "engineering", "filters": {"country": "DE", "level": "master"}, "limit": 20},
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
    )


@dataclass(frozen=True)
class Delays:
    """How long the loop kept a task waiting, and how long its thread worked without letting it run, in ms."""

    late: list[float]
    busy: list[float]

    def cells(self) -> list[str]:
        return [f"{figure:.1f}" for found in (self.late, self.busy) for figure in (percentile(found), max(found))]


def percentile(found: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(found, n=100)[98]


class Watch:
    """Looks at the running loop every millisecond."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._busy: list[float] = []
        self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while True:
            began, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK)
            self._late.append((time.perf_counter() - began - TICK) * 1_000)
            self._busy.append((time.thread_time() - worked) * 1_000)

    async def end(self) -> Delays:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        return Delays(self._late, self._busy)


async def idle() -> Delays:
    watch = Watch()
    await asyncio.sleep(3)
    return await watch.end()


async def drained(url: str, events: int, size: int) -> tuple[float, Delays]:
    """Drain a journal as the delivery does; return rows a second and what became of the loop."""
    engine = create_async_engine(url)
    store = Store(engine, table=f"drained_{size}", subject="scholarship_id", subject_type=int)
    await store.create()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        journal = Journal(Path(folder) / "journal")
        journal.open()
        for number in range(events):
            journal.append(payload(number))
        loop = asyncio.get_running_loop()
        watch = Watch()
        began, rows = time.perf_counter(), 0
        while (batch := await loop.run_in_executor(threads, journal.take, size)) is not None:
            written = await store.write(batch.payloads)
            await loop.run_in_executor(threads, batch.done)
            rows += written.rows
        took = time.perf_counter() - began
        delays = await watch.end()
        journal.close()
    await engine.dispose()
    if rows != events:
        raise RuntimeError(f"{rows} rows of {events} events")
    return rows / took, delays
