"""SIGTERM with the database up, stopped and hanging; the next start delivers what was left."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.accounts import Accounts, compare
from tests.endurance.chaos import Trouble
from tests.endurance.database import PostgreSQL, wait_until
from tests.endurance.ledger import Ledger
from tests.endurance.running import service, settled
from tests.endurance.traffic import AFTERWARDS, Traffic

STOP_WITHIN = 20.0
"""Seconds that a stop may take with the database away: less than the 30 that orchestrators give by default."""


@dataclass
class Stop:
    """One start, load and stop."""

    database: str
    seconds: float
    exit_code: int
    rows_left: int
    """Answered requests without a row when the process had ended."""
    bytes_left: int
    """In the journal's folder."""


@dataclass
class Result:
    """What came of it."""

    stops: list[Stop]
    figures: dict[str, float]
    accounts: Accounts
    found: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        found = [*self.found, *self.accounts.faults()]
        for stop in self.stops:
            if stop.seconds > STOP_WITHIN:
                found.append(f"took {stop.seconds:.1f} s to stop, the database {stop.database}")
            if stop.exit_code:
                found.append(f"exit code {stop.exit_code}, the database {stop.database}")
            if stop.database == "up" and (stop.rows_left or stop.bytes_left):
                found.append(f"{stop.rows_left} rows, {stop.bytes_left} bytes are left after a clean stop")
        return found


def stopping(folder: Path, database: PostgreSQL, requests: int = 500, workers: int = 2) -> Result:
    """Stop in each state of the database, and compare the rows after the last start."""
    ledger = Ledger()
    journal = folder / "journal"
    stops: list[Stop] = []
    figures: dict[str, float] = {}

    troubles: list[tuple[str, Trouble]] = [("stopped", database.stopped), ("hanging", database.hanging)]
    for number, (name, trouble) in enumerate([*troubles, ("up", nullcontext)]):
        with service(folder, database.url, journal, workers=workers) as process:
            if name == "up":
                wait_until(lambda: compare(ledger, database.rows()).complete, 30, 0.2)
            with trouble():
                own = Ledger()
                asyncio.run(Traffic(process.port, own, requests, 1000, connections=4, seed=number).run())
                began = time.monotonic()
                process.stop()
                seconds = time.monotonic() - began
        own.forget_unheard(process.stdout)
        ledger.entries |= own.entries
        left = len(compare(ledger, database.rows()).missing)
        stops.append(Stop(name, seconds, process.process.returncode, left, size(journal)))
    with service(folder, database.url, journal, workers=workers) as process:
        own = Ledger()
        asyncio.run(Traffic(process.port, own, requests, 1000, connections=4, seed=99).run())
        ledger.entries |= own.entries
        time.sleep(AFTERWARDS)
        figures = settled(process)
        own.forget_unheard(process.stdout)
        asked = len(own.of("answered", "left"))
        wait_until(lambda: compare(ledger, database.rows()).complete, 30, 0.2)
        process.stop()
    result = Result(stops, figures, compare(ledger, database.rows()))
    for name in ("recorded_total", "written_total"):
        if figures[name] != asked:
            result.found.append(f"{name} is {figures[name]:.0f} after {asked} requests")
    for name in ("dropped_total", "pending", "journal_bytes", "oldest_seconds", "internal_errors"):
        if figures.get(name):
            result.found.append(f"{name} is {figures[name]} when all is written")
    return result


def size(journal: Path) -> int:
    """Return how many bytes the files of a journal have."""
    return sum(path.stat().st_size for path in journal.rglob("*") if path.is_file())
