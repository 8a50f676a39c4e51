"""A hundred thousand interactions wait for the database: how fast they go, and what requests feel of it."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.endurance.client import Connection
from tests.endurance.database import PostgreSQL, wait_until
from tests.endurance.latency import Latencies, measure
from tests.endurance.running import scraped, service

RATE_BOUND = 10_000.0
"""Rows a second that the backlog must drain at: the figure of the requirement."""

_RATE = 200.0
"""Requests a second meanwhile."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    waiting: int
    pending: float
    """Interactions that wait as the metrics tell it."""
    bytes: float
    began_after: float
    """Seconds from the database's start to the first row."""
    seconds: float
    """Seconds from the first row to the last."""
    before: Latencies
    during: Latencies
    figures: dict[str, float]
    rows: int

    @property
    def rate(self) -> float:
        return self.waiting / self.seconds

    def faults(self) -> list[str]:
        found = []
        if self.rate < RATE_BOUND:
            found.append(f"drains at {self.rate:,.0f} rows/s")
        if self.pending != self.waiting:
            found.append(f"{self.waiting} wait, the metrics say {self.pending:.0f}")
        return found


def backlog(folder: Path, database: PostgreSQL, waiting: int = 100_000, workers: int = 4) -> Result:
    """Let interactions wait while the database is stopped, start it, and watch."""
    with service(folder, database.url, folder / "journal", workers=workers) as process:
        asyncio.run(measure(process.port, 500, _RATE))
        before = asyncio.run(measure(process.port, 1000, _RATE))
        wait_until(lambda: database.count() >= 1500)
        with database.stopped():
            asyncio.run(_many(process.port, waiting))
            # A second later at most, whatever the database does.
            wait_until(lambda: scraped(process)["pending"] >= waiting, 5)
            full = scraped(process)
            during: list[Latencies] = []
            over = threading.Event()

            def load() -> None:
                while not over.is_set():
                    during.append(asyncio.run(measure(process.port, int(_RATE / 2), _RATE)))

            loading = threading.Thread(target=load)
        loading.start()
        try:
            started = time.monotonic()
            wait_until(lambda: database.count() > 1500, every=0.02)
            first = time.monotonic()
            count = "SELECT count(*) FROM interactions WHERE event_type = 'many'"
            wait_until(lambda: int(database.execute(count)[0][0]) >= waiting, 120)
            last = time.monotonic()
        finally:
            over.set()
            loading.join()
        rows = 1500 + waiting + sum(len(each.taken) for each in during)
        wait_until(lambda: database.count() >= rows, 20)
        figures = scraped(process)
        process.stop()
    taken = Latencies(sorted(seconds for each in during for seconds in each.taken))
    return Result(
        waiting, full["pending"], full["journal_bytes"], first - started, last - first, before, taken, figures, rows
    )  # fmt: skip


async def _many(port: int, waiting: int) -> None:
    each = 500

    async def client(share: int) -> None:
        connection = Connection(port)
        for _ in range(share // each):
            answer = await connection.ask("POST", f"/many?count={each}", {})
            assert answer.status == 200, answer
        connection.close()

    await asyncio.gather(*(client(waiting // 8) for _ in range(8)))
