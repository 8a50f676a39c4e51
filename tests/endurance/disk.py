"""The journal's disk is full while the database is away: what does not fit waits in memory, and nothing is lost."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.accounts import Accounts, compare
from tests.endurance.database import PostgreSQL, wait_until
from tests.endurance.ledger import Ledger
from tests.endurance.running import scraped, service, settled
from tests.endurance.traffic import AFTERWARDS, Traffic


@dataclass
class Result:
    """What came of it."""

    accounts: Accounts
    full: dict[str, float]
    """The figures when the disk was full."""
    after: dict[str, float]
    found: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        return [*self.found, *self.accounts.faults()]


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of this size; PermissionError where only an administrator may."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0700", "none", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_disk(folder: Path, database: PostgreSQL, journal: Path, requests: int = 3000) -> Result:
    """Fill the disk with interactions, let the database come back, and compare; then once more."""
    ledger = Ledger()
    found: list[str] = []
    with service(folder, database.url, journal, workers=2) as process:
        with database.stopped():
            asyncio.run(Traffic(process.port, ledger, requests, 1500, connections=4, seed=5).run())
            time.sleep(AFTERWARDS)
            ledger.forget_unheard(process.stdout)
            asked = len(ledger.of("answered", "left"))
            wait_until(lambda: scraped(process)["pending"] >= asked, 5)
            full = scraped(process)
        wait_until(lambda: compare(ledger, database.rows()).complete, 60, 0.2)
        # There is room again: the journal is the file again, and a killed worker loses nothing.
        asyncio.run(Traffic(process.port, ledger, 300, 1500, connections=4, seed=6).run())
        time.sleep(AFTERWARDS)
        after = settled(process)
        ledger.forget_unheard(process.stdout)
        expected = len(ledger.of("answered", "left"))
        process.stop()
    if full["pending"] != asked:
        found.append(f"{full['pending']:.0f} pending after {asked} requests without a database")
    if after["dropped_total"]:
        found.append(f"{after['dropped_total']:.0f} dropped")
    if after["written_total"] != expected:
        found.append(f"{after['written_total']:.0f} written, {expected} asked")
    return Result(compare(ledger, database.rows()), full, after, found)
