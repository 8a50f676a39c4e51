"""Workers killed at random while the database is stopped, locked and slow: no row is missing and none is double."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.endurance.accounts import Accounts, compare
from tests.endurance.database import Database, wait_until
from tests.endurance.ledger import Entry, Ledger
from tests.endurance.running import scraped, service
from tests.endurance.traffic import Traffic
from tests.processes.launch import Process

Trouble = Callable[[], AbstractContextManager[None]]
Schedule = Sequence[tuple[float, str, float]]
"""From which second on, what, and for how many seconds."""

_DELIVERED_WITHIN = 90.0
"""Seconds from the end of all troubles to the last row."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    accounts: Accounts
    ledger: Ledger
    troubles: list[str]
    waiting: int
    """Answered requests whose rows were still to come when everything was killed at the end."""
    delivered: float
    """Seconds that the next start took for the rest."""
    figures: dict[str, float]
    seconds: float
    errors: list[str]
    """What the service logged as errors of its own."""

    def faults(self) -> list[str]:
        found = self.accounts.faults()
        found += [f"answered with another id: {told}" for told in self.ledger.wrong_ids[:5]]
        if self.figures["written_total"] > self.accounts.rows:
            found.append(f"{self.figures['written_total']:.0f} counted as written, {self.accounts.rows} rows")
        if self.figures["dropped_total"]:
            found.append(f"{self.figures['dropped_total']:.0f} dropped")
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a run.

    Attributes:
        requests: how many are answered and recorded.
        rate: requests a second.
        schedule: of the database's troubles.
        kill_every: seconds from one kill to the next, on average.
    """

    requests: int
    rate: float
    schedule: Schedule
    kill_every: float = 1.0


def chaos(
    folder: Path,
    database: Database,
    troubles: Mapping[str, Trouble],
    plan: Plan,
    say: Callable[[str], None],
    *,
    middleware: bool = False,
) -> Result:
    """Load four workers, kill them, trouble the database; kill everything, start anew, and draw up the accounts."""
    began = time.monotonic()
    ledger = Ledger()

    def running() -> AbstractContextManager[Process]:
        return service(folder, database.url, folder / "journal", server="gunicorn", middleware=middleware)

    def tell(what: str) -> None:
        say(f"{time.monotonic() - began:.0f} s: {what}")

    with running() as process:
        tell("workers are up")
        asyncio.run(_load(process, ledger, troubles, plan))
        tell(f"{len(ledger.entries):,} requests sent, {len(ledger.kills)} kills")
        figures = scraped(process)
        for worker in process.workers():
            ledger.kills[worker] = time.monotonic()
    errors = _errors(process)
    waiting = len(compare(ledger, database.rows()).missing)
    tell(f"all is killed, {waiting} rows are still to come")
    with running() as process:
        delivered = wait_until(lambda: compare(ledger, database.rows()).complete, _DELIVERED_WITHIN, 0.2)
        process.stop()
    errors += _errors(process)
    names = [f"{name} {seconds:g} s" for _, name, seconds in plan.schedule]
    accounts = compare(ledger, database.rows())
    return Result(accounts, ledger, names, waiting, delivered, figures, time.monotonic() - began, errors)


async def _load(process: Process, ledger: Ledger, troubles: Mapping[str, Trouble], plan: Plan) -> None:
    killer = _Killer(process, ledger, plan.kill_every)
    traffic = Traffic(process.port, ledger, plan.requests, plan.rate, seen=killer.seen)
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(traffic.run())
        troubling = group.create_task(asyncio.to_thread(_trouble, troubles, plan.schedule))
        killing = group.create_task(killer.run())
        await loading
        await troubling
        killing.cancel()


def _trouble(troubles: Mapping[str, Trouble], schedule: Schedule) -> None:
    began = time.monotonic()
    for start, name, seconds in schedule:
        time.sleep(max(0.0, began + start - time.monotonic()))
        with troubles[name]():
            time.sleep(seconds)


class _Killer:
    """Kills a worker every so often: one at random, or the one that has just answered, the moment that it has."""

    def __init__(self, process: Process, ledger: Ledger, every: float) -> None:
        self._process = process
        self._ledger = ledger
        self._every = every
        self._random = random.Random(3)
        self._aims_at: str | None = None
        self._serve: set[int] = set()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._every * self._random.uniform(0.5, 1.5))
            while len(self._serve) < 2 or self._aims_at is not None:  # noqa: ASYNC110 - many may change it
                # Workers take seconds to start on a machine that is busy: with all of them gone nobody would answer.
                await asyncio.sleep(0.05)
            chance = self._random.random()
            if chance < 0.1:
                self._kill(self._random.choice(self._process.workers()))  # it may be about to start
            elif chance < 0.5 and self._serve:
                self._kill(self._random.choice(sorted(self._serve)))
            else:
                events = ["view", "view", "measured", "order", "remove", "stream", "fail", "search", "empty", "shop"]
                self._aims_at = self._random.choice(events)

    def seen(self, entry: Entry) -> None:
        """Kill who gave this answer, if it is of the kind that is waited for."""
        if not entry.worker:
            return
        if entry.worker not in self._ledger.kills:
            self._serve.add(entry.worker)
        if entry.event == self._aims_at:
            self._aims_at = None
            self._kill(entry.worker)

    def _kill(self, worker: int) -> None:
        self._serve.discard(worker)
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._ledger.kills[worker] = time.monotonic()


def _errors(process: Process) -> list[str]:
    own = ("unhandled_exception", "request_processed")
    return [
        line
        for line in process.stdout.splitlines()
        if '"level":"error"' in line and not any(f'"event":"{event}"' in line for event in own)
    ]
