"""What a request costs while the database is away: percentiles in pairs, up and down in turn, in one run."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.chaos import Trouble
from tests.endurance.client import Connection
from tests.endurance.database import Database, wait_until
from tests.endurance.running import service

BOUND = 0.002
"""Seconds by which the 99th percentile may rise: the figure of the requirement."""

_CONNECTIONS = 4


@dataclass
class Latencies:
    """Seconds that requests took; sorted."""

    taken: list[float]

    def percentile(self, share: float) -> float:
        return self.taken[min(len(self.taken) - 1, int(len(self.taken) * share))]

    @property
    def p50(self) -> float:
        return self.percentile(0.5)

    @property
    def p99(self) -> float:
        return self.percentile(0.99)


@dataclass
class Result:
    """Pairs of measurements: the database up, and in trouble."""

    trouble: str
    pairs: list[tuple[Latencies, Latencies]] = field(default_factory=list)
    missing: int = 0

    def rise(self, name: str = "p99") -> float:
        """Return by how many seconds a percentile rises: the median of the pairs."""
        return float(statistics.median(getattr(down, name) - getattr(up, name) for up, down in self.pairs))

    def median(self, name: str) -> tuple[float, float]:
        """Return the medians of a percentile, up and down."""
        up, down = zip(*((getattr(up, name), getattr(down, name)) for up, down in self.pairs), strict=True)
        return statistics.median(up), statistics.median(down)

    def noise(self) -> float:
        """Return by how many seconds p99 differs between measurements with the database up: what cannot be told."""
        up = [up.p99 for up, _ in self.pairs]
        return max(up) - min(up)

    def faults(self, noise: float = 0.0) -> list[str]:
        """Return what is not as it must be.

        Args:
            noise: seconds that the machine itself makes of a difference.
        """
        found = []
        if self.rise() >= BOUND + noise:
            found.append(f"p99 rises by {self.rise() * 1e3:.2f} ms while the database is {self.trouble}")
        if self.missing:
            found.append(f"{self.missing} rows missing after the database was {self.trouble}")
        return found


def latency(
    folder: Path,
    database: Database,
    troubles: Sequence[tuple[str, Trouble]],
    *,
    pairs: int = 3,
    requests: int = 1200,
    rate: float = 400.0,
    workers: int = 2,
) -> list[Result]:
    """Measure pairs for each trouble: at least so many, up to five times as many while the machine's noise decides."""
    results = []
    before = database.count()
    sent = 0
    with service(folder, database.url, folder / "journal", workers=workers) as process:
        asyncio.run(measure(process.port, requests, rate))  # what is made at first use is not what is measured
        sent += requests

        def settled() -> bool:
            return database.count() >= before + sent

        for name, trouble in troubles:
            result = Result(name)
            results.append(result)
            while len(result.pairs) < pairs or (len(result.pairs) < 5 * pairs and result.rise() >= BOUND):
                taken = []
                for each in (nullcontext, trouble):
                    with each():
                        taken.append(asyncio.run(measure(process.port, requests, rate)))
                    sent += requests
                    wait_until(settled)
                result.pairs.append((taken[0], taken[1]))
            result.missing = before + sent - database.count()
        process.stop()
    return results


async def measure(port: int, requests: int, rate: float) -> Latencies:
    """Send so many requests at this rate, and return how long each took."""
    taken: list[float] = []
    began = time.monotonic()
    sent = 0

    async def client() -> None:
        nonlocal sent
        connection = Connection(port)
        await connection.open()
        while sent < requests:
            due = began + sent / rate
            sent += 1
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            start = time.perf_counter()
            answer = await connection.ask("GET", f"/items/{sent}?page=1", {})
            taken.append(time.perf_counter() - start)
            assert answer.status == 200
        connection.close()

    await asyncio.gather(*(client() for _ in range(_CONNECTIONS)))
    return Latencies(sorted(taken))
