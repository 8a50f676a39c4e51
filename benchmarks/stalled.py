"""What a service does whose log nobody reads: `python -m benchmarks stalled`, about ten seconds.

uvicorn with one worker, its stdout a pipe. As many requests are sent while the pipe is read as while it is not; each
logs ten lines of 1 KB, every twentieth one of 100 KB besides.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port

ROOT = Path(__file__).parents[1]
REQUESTS = 500
"""Requests of each phase."""
LINES, SIZE = 10, 1_000
EVERY, LONG = 20, 100_000
DEADLINE = 120.0

Line = dict[str, Any]


class Service:
    """A server whose stdout is read for as long as `reads` is set."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.reads = threading.Event()
        self.reads.set()
        self.written: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)

    def get(self, path: str) -> bytes:
        """Send a request on the connection that is kept, or on another where the server has closed it meanwhile."""
        try:
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
        except (ConnectionResetError, BrokenPipeError):
            self._connection.close()
            self._connection.request("GET", path)
            answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        return body

    def lines(self) -> list[Line]:
        """Return what was read so far; the end of it may be a part of a line as long as the service runs."""
        text = b"".join(list(self.written))
        return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]

    def whole(self) -> bool:
        """Whether what was read ends with a line, and each is one."""
        self.lines()
        return not self.written or self.written[-1].endswith(b"\n")

    def dropped(self) -> int:
        """Return what the metric says."""
        for line in self.get("/metrics").decode().splitlines():
            if line.startswith("belvedere_log_lines_dropped_total "):
                return int(float(line.split()[1]))
        raise RuntimeError("there is no such metric")

    def resident(self) -> int:
        """Return the process's memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def end(self) -> float:
        """Send SIGTERM, and return how many seconds it takes to end."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE)
        return time.perf_counter() - began

    def read_all(self) -> None:
        """Once it has ended: read what is still in the pipe."""
        self.reads.set()
        self._reader.join(DEADLINE)

    def _read(self) -> None:
        assert self.process.stdout is not None
        while self.reads.wait():
            part = os.read(self.process.stdout.fileno(), 65_536)
            if not part:
                return
            self.written.append(part)


@contextmanager
def service(*options: str, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Run `benchmarks.talkative` under uvicorn, in a process group of its own which is killed in the end."""
    port = free_port()
    arguments = [sys.executable, "-m", "uvicorn", "--port", str(port), *options, "benchmarks.talkative:app"]
    settings = {**os.environ, "BELVEDERE_ENVIRONMENT": "local", **(environment or {})}
    with subprocess.Popen(
        arguments, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        started = Service(process, port)
        try:
            until(lambda: _answers(started))
            yield started
        finally:
            started.reads.set()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            started.read_all()  # before what it reads from is closed
            started._connection.close()


def until(condition: Callable[[], bool]) -> None:
    """Return once it is so."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("waited in vain")
        time.sleep(0.02)


@dataclass(frozen=True)
class Phase:
    """Seconds that requests took, and the process's memory after them."""

    latencies: list[float]
    resident: int

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latencies, n=100)[98]


@dataclass(frozen=True)
class Found:
    """What came out."""

    reading: Phase
    stalled: Phase
    written: int
    """Lines that the service wrote while nobody read: its own and the access lines."""
    read: int
    """Of these, how many were read in the end."""
    dropped: int
    """What `/metrics` said while nobody read."""
    told: list[int]
    """What the log said once it was read."""
    whole: bool
    """Whether all that was ever read were whole lines, of JSON."""
    end: float
    """Seconds from SIGTERM to the end, with nobody reading again."""

    def table(self) -> str:
        """Return the figures as rows."""
        rows: list[tuple[str, ...]] = [("", "read", "not read")]
        for name, figure in (("median, ms", "median"), ("99th percentile, ms", "p99")):
            rows.append((name, *(f"{getattr(phase, figure) * 1000:.1f}" for phase in (self.reading, self.stalled))))
        rows.append(("memory, MiB", *(f"{phase.resident / 2**20:.1f}" for phase in (self.reading, self.stalled))))
        text = [f"| {' | '.join(row)} |" for row in rows]
        text.insert(1, "| --- | ---: | ---: |")
        return "\n".join(
            [
                *text,
                "",
                f"{self.written} lines written while nobody read: {self.read} read later, {self.dropped} dropped by "
                f"/metrics, {', '.join(map(str, self.told))} told in the log; "
                + ("all lines whole" if self.whole else "BROKEN LINES"),
                f"SIGTERM to the end with nobody reading: {self.end:.1f} s",
            ]
        )


def measure() -> Found:
    """Run it once."""
    with service() as shop:
        _phase(shop, REQUESTS // 5)
        reading = _phase(shop, REQUESTS)
        until(lambda: _said(shop.lines()) == _wrote(REQUESTS // 5 + REQUESTS))
        shop.reads.clear()
        before = len(shop.lines())
        stalled = _phase(shop, REQUESTS)
        dropped = shop.dropped()
        shop.reads.set()
        until(lambda: bool(told(shop.lines())))
        read = _said(shop.lines()[before:])
        shop.reads.clear()
        _phase(shop, REQUESTS // 2)
        end = shop.end()
        shop.read_all()
        lines = shop.lines()
        return Found(
            reading, stalled, _wrote(REQUESTS), read, dropped, told(lines), whole=shop.whole() and bool(lines), end=end
        )


def told(lines: list[Line]) -> list[int]:
    """Return how many lines were dropped, as the log says it."""
    return [line["dropped"] for line in lines if line["event"] == "log_lines_dropped"]


def _phase(shop: Service, requests: int) -> Phase:
    latencies = []
    for number in range(requests):
        began = time.perf_counter()
        shop.get(f"/say/{LINES}?size={SIZE}")
        latencies.append(time.perf_counter() - began)
        if number % EVERY == 0:
            shop.get(f"/say/1?size={LONG}")
    return Phase(latencies, shop.resident())


def _wrote(requests: int) -> int:
    """Lines of so many requests of a phase; each has an access line."""
    long = -(-requests // EVERY)
    return requests * (LINES + 1) + long * 2


def _said(lines: list[Line]) -> int:
    return sum(line["event"] in {"said", "request_processed"} for line in lines)


def _answers(shop: Service) -> bool:
    try:
        return bool(shop.get("/healthz"))
    except OSError:
        shop._connection.close()
        return False
