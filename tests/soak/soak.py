"""The soak itself: start the service, load it, kill workers, scrape, and draw up the accounts."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path

from tests.processes.launch import Process, launch, wait_for
from tests.soak.accounts import Samples, decreased, faults, samples
from tests.soak.ledger import Ledger
from tests.soak.traffic import load

WORKERS = 3
ROOT = Path(__file__).parents[2]
_BETWEEN_KILLS = 5.0
"""Seconds, at least."""
_MOST_GROWTH = 0.10
"""Share by which a worker's memory may grow between the first third and the end: noise of an allocator, and no more."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    requests: int
    fates: dict[str, int]
    statuses: dict[int, int]
    kills: int
    scrapes: int
    lines: int
    memory: tuple[int, int]
    """Kilobytes of the worker that nobody killed, after a third of the time and at the end."""
    faults: list[str]

    def text(self) -> str:
        early, late = self.memory
        return "\n".join(
            [
                f"requests          {self.requests:,}: "
                + ", ".join(f"{count:,} {fate}" for fate, count in sorted(self.fates.items())),
                "answers           "
                + ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items())),
                f"workers killed    {self.kills}",
                f"scrapes           {self.scrapes:,}, no count ever went back"
                if not any("->" in fault for fault in self.faults)
                else f"scrapes           {self.scrapes:,}",
                f"log lines         {self.lines:,}, each JSON",
                f"memory            {early / 1024:.1f} MB after a third of the time, {late / 1024:.1f} MB at the end",
                *(f"FAULT             {fault}" for fault in self.faults),
                "all adds up" if not self.faults else f"{len(self.faults)} faults",
            ]
        )


def soak(folder: Path, seconds: float, say: Callable[[str], None] = lambda _: None) -> Result:
    """Load the service for so many seconds; return the accounts."""
    environment = {"PYTHONPATH": str(ROOT)}
    source = (Path(__file__).parent / "shop.py").read_text(encoding="utf-8")
    # The arbiter sends a worker that is busy starting no signal, and starts another for each that dies.
    options = ["--log-level", "warning", "--graceful-timeout", "10"]
    with launch("gunicorn", folder, source, *options, workers=WORKERS, environment=environment) as service:
        wait_for(lambda: service.stdout.count("application_started") >= WORKERS, service)
        watch = _Watch(service, say)
        ledger = Ledger()
        asyncio.run(_run(service, ledger, watch, seconds))
        wait_for(watch.settled, service)
        last = watch.scrape()
        service.stop()
        lines = service.stdout.splitlines()
        found = [*watch.faults, *faults(ledger, lines, last)]
    early, late = watch.memory[len(watch.memory) // 3], watch.memory[-1]
    if late > early * (1 + _MOST_GROWTH):
        found.append(f"memory grew from {early} to {late} kB")
    return Result(
        requests=len(ledger.entries),
        fates={str(fate): count for fate, count in ledger.fates().items()},
        statuses=dict(Counter(entry.status for entry in ledger.of("answered").values())),
        kills=len(ledger.kills),
        scrapes=watch.scrapes,
        lines=len(lines),
        memory=(early, late),
        faults=found,
    )


class _Watch:
    """Looks at the service from outside: scrapes, memory, and which workers there are."""

    def __init__(self, service: Process, say: Callable[[str], None]) -> None:
        self._service = service
        self._say = say
        self.spared = service.workers()[0]
        self.memory: list[int] = []
        self.faults: list[str] = []
        self.scrapes = 0
        self._last: Samples = {}

    def scrape(self) -> Samples:
        now = samples(self._service.get("/metrics").body.decode())
        self.scrapes += 1
        self.faults += decreased(self._last, now)[: max(0, 5 - len(self.faults))]
        self._last = now
        return now

    def settled(self) -> bool:
        """Whether nothing is in progress any more: clients that left are seen a little later."""
        return not any(
            value
            for (name, _), value in self.scrape().items()
            if name in {"http_requests_in_progress", "websocket_connections_active"}
        )

    def weigh(self) -> None:
        for line in Path(f"/proc/{self.spared}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                self.memory.append(int(line.split()[1]))

    def say(self, ledger: Ledger) -> None:
        self._say(f"{len(ledger.entries):,} requests, {len(ledger.kills)} kills, {self.scrapes} scrapes")


async def _run(service: Process, ledger: Ledger, watch: _Watch, seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load(f"http://127.0.0.1:{service.port}", ledger, seconds))
        chaos = group.create_task(_disturb(service, ledger, watch))
        await loading
        chaos.cancel()


async def _disturb(service: Process, ledger: Ledger, watch: _Watch) -> None:
    """Scrape twice a second, and kill a worker every few seconds, though never the one whose memory is watched."""
    chosen = random.Random(7)
    count = 0
    due = time.monotonic() + _BETWEEN_KILLS
    while True:
        await asyncio.sleep(0.5)
        count += 1
        try:
            await asyncio.to_thread(watch.scrape)
        except (OSError, HTTPException, ValueError) as error:
            # By chance on a connection that a worker had taken which was killed, maybe in the middle of its answer.
            if not isinstance(error, ConnectionError | IncompleteRead):
                watch.faults.append(f"a scrape failed: {error!r}")
        watch.weigh()
        if count % 20 == 0:
            watch.say(ledger)
        others = [pid for pid in service.workers() if pid != watch.spared]
        if time.monotonic() > due and len(others) == WORKERS - 1:
            due = time.monotonic() + _BETWEEN_KILLS
            victim = chosen.choice(others)
            ledger.kills[victim] = time.monotonic()
            os.kill(victim, signal.SIGKILL)
