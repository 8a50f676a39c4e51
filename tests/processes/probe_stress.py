"""Probes of a service in distress, measured from outside: `python -m tests.processes.probe_stress` prints the figures.

The service's thread pool is full of endpoints that sleep, its database has stopped answering (every process of a real
PostgreSQL is stopped), one check of readiness hangs for that, another in a thread, and 200 requests are in flight.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests import servers
from tests.processes.launch import DEADLINE, Process, children, command_line, launch, wait_for

SHOP = """
import asyncio
import os
import threading
import time

import belvedere
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_pre_ping=True, pool_timeout=5, connect_args={"timeout": 5}
)

async def database():
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

async def hangs():
    await asyncio.Event().wait()

def hangs_in_a_thread():
    threading.Event().wait(60)

async def blocks():
    if os.path.exists("block"):
        time.sleep(0.3)

app = FastAPI(title="Shop")
belvedere.observe(
    app,
    belvedere.Check("database", database),
    belvedere.Check("partner", hangs, critical=False),
    belvedere.Check("archive", hangs_in_a_thread, critical=False),
    belvedere.Check("search", blocks, critical=False),
    settings=belvedere.Settings(health={"interval": 0}),
)

@app.get("/sleeps")
def sleeps():
    time.sleep(2)

@app.get("/orders")
async def orders():
    await database()
"""

THREADS = 40
"""Threads of the pool for sync endpoints, as anyio has it."""
IN_FLIGHT = 200
PROBES = 1500
PAUSE = 0.005
"""Seconds between two probes."""
AT_ONCE = 1000
"""Readiness probes at the same time."""
CHECKS = ("database", "partner", "archive", "search")


@dataclass
class Liveness:
    """What liveness took, in seconds."""

    taken: list[float]

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.taken, n=100)[98]

    def __str__(self) -> str:
        middle, worst = statistics.median(self.taken), max(self.taken)
        return f"median {middle * 1000:.1f} ms, p99 {self.p99 * 1000:.1f} ms, worst {worst * 1000:.1f} ms"


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """Stop every process of the PostgreSQL behind `url`, as a machine that is out of order does; go on at the end."""
    port = f"-cport={urlsplit(url).port}".encode()
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    # A child is called like its parent for a moment.
    main = min(pid for pid in pids if port in command_line(pid).split(b"\0") and b"postgres" in command_line(pid))
    every = [main, *children(main)]
    for pid in every:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in every:
            _signal(pid, signal.SIGCONT)


@contextmanager
def under_load(port: int) -> Iterator[None]:
    """Keep 200 requests in flight: more than there are threads that sleep, the others wait for the database."""
    stop = threading.Event()

    async def ask(path: bytes) -> None:
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
                await reader.read()
            except OSError:
                pass
            finally:
                writer.close()

    async def load() -> None:
        sync = THREADS + 20  # some wait for a thread
        tasks = [asyncio.create_task(ask(b"/sleeps" if n < sync else b"/orders")) for n in range(IN_FLIGHT)]
        await asyncio.to_thread(stop.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(load()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE)


def liveness(port: int, probes: int = PROBES) -> Liveness:
    """Ask for liveness as an orchestrator does, each time on a connection of its own."""
    taken = []
    for _ in range(probes):
        began = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := client.recv(4096):
                answer += part
        taken.append(time.perf_counter() - began)
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert answer.endswith(b'{"status":"ok"}'), answer
        time.sleep(PAUSE)
    return Liveness(taken)


def readiness(port: int, probes: int = AT_ONCE) -> tuple[list[bytes], float]:
    """Ask for readiness by so many connections at once; return the answers, and the seconds until the last one."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        try:
            return await reader.read()
        finally:
            writer.close()

    async def all_of_them() -> list[bytes]:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*(ask() for _ in range(probes)))

    began = time.perf_counter()
    answers = asyncio.run(all_of_them())
    return answers, time.perf_counter() - began


def gauges(process: Process, name: str) -> dict[str, float]:
    """Scrape; return the values of a metric by its one label."""
    text = process.get("/metrics").body.decode()
    return {label: float(value) for label, value in re.findall(rf'^{name}{{\w+="(\w+)"}} (\S+)$', text, re.MULTILINE)}


def runs(process: Process) -> dict[str, float]:
    """Return how often each check has been run."""
    return gauges(process, "belvedere_check_duration_seconds_count")


@contextmanager
def distress(loop: str, folder: Path) -> Iterator[Process]:
    """Run the service under uvicorn with this event loop, everything around it as bad as the issue has it."""
    with servers.postgres() as url:
        environment = {"DATABASE_URL": url}
        # The server itself keeps no bound on connections below a thousand probes.
        with launch("uvicorn", folder, SHOP, "--loop", loop, "--backlog", "4096", environment=environment) as process:
            # The pool has connections that were good, as in a service that has run for a while.
            assert process.get("/orders").status == 200
            with stopped(url), under_load(process.port):
                wait_for(lambda: _full(process), process)
                yield process


def _full(process: Process) -> bool:
    threads = gauges(process, "belvedere_threadpool_threads")
    in_progress = gauges(process, "http_requests_in_progress")
    return threads.get("busy") == THREADS and threads.get("waiting", 0) > 0 and in_progress.get("GET", 0) >= IN_FLIGHT


def _signal(pid: int, number: signal.Signals) -> None:

    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def main() -> None:
    """Print the figures for both event loops."""
    for loop in ("asyncio", "uvloop"):
        with tempfile.TemporaryDirectory() as folder, distress(loop, Path(folder)) as process:
            print(f"{loop}: liveness, {PROBES} probes: {liveness(process.port)}")
            before = runs(process)
            answers, seconds = readiness(process.port)
            after = runs(process)
            ran = ", ".join(f"{name} {after[name] - before.get(name, 0):g}" for name in CHECKS)
            print(f"{loop}: {len(answers)} readiness probes at once, answered within {seconds:.2f} s; runs: {ran}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
