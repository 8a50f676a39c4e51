"""What a scrape of several workers costs, what counting costs in them, and what the event loop feels of it.

`python -m benchmarks scrapes`: 8 workers with 2,000 series each, by Belvedere's mapped files and by prometheus-client's
own mode for several processes, in turns; then once more after 1,000 workers have come and gone.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import statistics
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

WORKERS = 8
COUNTERS = 1_000
HISTOGRAMS = 100
"""With 8 buckets, a count and a sum each: with the counters, 2,000 series."""
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
ROUNDS = 30
RECYCLED = 1_000
_PORTION = 0.002


@dataclass(frozen=True, slots=True)
class Scrapes:
    """Milliseconds of each scrape, and the length of the text."""

    name: str
    milliseconds: list[float]
    size: int

    def line(self) -> str:
        least, middle, most = min(self.milliseconds), statistics.median(self.milliseconds), max(self.milliseconds)
        return f"{self.name:<58} {least:7.1f} {middle:7.1f} {most:7.1f}   {self.size / 1000:7.0f}"


def report(say: Callable[[str], None], *, rounds: int = ROUNDS, recycled: int = RECYCLED) -> str:
    """Measure all of it, and return it as text."""
    lines = [f"{WORKERS} workers, 2,000 series each; ms a scrape{'min':>33} {'median':>7} {'max':>7}   {'kB':>7}"]
    with _workers("mapped") as mapped, _workers("prometheus") as theirs:
        for busy in (False, True):
            say(f"scraping, workers {'busy' if busy else 'idle'}")
            for ask in (*mapped, *theirs):
                ask("busy" if busy else "idle")
            found = _in_turns({"Belvedere": mapped[0], "prometheus-client, multiprocess mode": theirs[0]}, rounds)
            lines += [
                Scrapes(f"{name}, workers {'busy' if busy else 'idle'}", *taken).line() for name, taken in found.items()
            ]
        for ask in (*mapped, *theirs):
            ask("idle")
        say(f"{recycled} workers come and go")
        mapped[1]("recycle", recycled)
        found = _in_turns({"Belvedere": mapped[0]}, rounds)
        lines.append(Scrapes(f"Belvedere, after {recycled:,} recycled workers", *found["Belvedere"]).line())
        say("the event loop")
        quiet, calm, stormy = (mapped[0]("lag", rate) for rate in (0, 1, 10))
        lines += [
            "",
            "delay of the event loop, ms" + f"{'median':>42} {'p99':>7} {'max':>7}",
            f"{'without scrapes':<58} {_lag(quiet)}",
            f"{'with a scrape a second':<58} {_lag(calm)}",
            f"{'with 10 scrapes a second':<58} {_lag(stormy)}",
        ]
        say("counting")
        ours, alone, mode = mapped[2]("count"), _alone("count"), theirs[2]("count")
    lines += ["", "µs a call" + f"{'increment':>53} {'observation':>12}"]
    for name, (increment, observation) in {
        "prometheus-client, one process": alone,
        "Belvedere, one of several workers": ours,
        "prometheus-client, multiprocess mode": mode,
    }.items():
        lines.append(f"{name:<50} {increment:11.2f} {observation:12.2f}")
    return "\n".join(lines)


def _lag(delays: list[float]) -> str:
    ordered = sorted(delays)
    return f"{ordered[len(ordered) // 2]:10.2f} {ordered[int(len(ordered) * 0.99)]:7.2f} {ordered[-1]:7.2f}"


def _in_turns(scrapers: dict[str, Callable[..., Any]], rounds: int) -> dict[str, tuple[list[float], int]]:
    taken: dict[str, tuple[list[float], int]] = {name: ([], 0) for name in scrapers}
    for _ in range(rounds):
        for name, ask in scrapers.items():
            seconds, size = ask("scrape")
            taken[name] = ([*taken[name][0], seconds * 1000], size)
    return taken


@contextmanager
def _workers(kind: str) -> Iterator[list[Callable[..., Any]]]:
    """Run the workers of one kind; yield what asks each of them."""
    context = multiprocessing.get_context("spawn")
    started = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(WORKERS):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(kind, folder, there))
            process.start()
            started.append((process, here))
        asks = [_asking(here) for _, here in started]
        try:
            for ask in asks:
                ask("ready")
            yield asks
        finally:
            for process, here in started:
                here.close()
                process.join(10)
                process.kill()


def _asking(connection: Connection) -> Callable[..., Any]:
    def ask(*question: Any) -> Any:
        connection.send(question)
        return connection.recv()

    return ask


def _alone(question: str) -> Any:
    """Ask a process that is nobody's worker."""
    import subprocess
    import sys

    code = "from benchmarks.scrapes import Plain; print(*Plain().count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return tuple(map(float, done.stdout.split()))


class Plain:
    """A process with its metrics, which counts and shows them."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Histogram

        self.counter = Counter("work_done", "Work done.", ["shard"])
        self.histogram = Histogram("work_seconds", "Time of work.", ["shard"], buckets=BUCKETS)
        self.join()
        for shard in range(COUNTERS):
            self.counter.labels(f"shard-{shard}").inc(shard)
        for shard in range(HISTOGRAMS):
            self.histogram.labels(f"shard-{shard}").observe(shard / 100)

    def join(self) -> None:
        """Be one of several."""

    def text(self) -> bytes:
        """Return what a scrape shows."""
        from prometheus_client import generate_latest

        return generate_latest()

    def scrape(self) -> tuple[float, int]:
        started = time.perf_counter()
        text = self.text()
        return time.perf_counter() - started, len(text)

    def count(self) -> tuple[float, float]:
        """Return microseconds of an increment and of an observation."""
        counter, histogram = self.counter.labels("shard-1"), self.histogram.labels("shard-1")
        times = [
            min(timeit.repeat(call, number=20_000, repeat=15)) / 20_000 * 1e6
            for call in (counter.inc, lambda: histogram.observe(0.3))
        ]
        return times[0], times[1]


class Theirs(Plain):
    """As prometheus-client's documentation has it: a collector over the files of all processes."""

    def text(self) -> bytes:
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)


class Mapped(Plain):
    """As an observed application has it."""

    def join(self) -> None:
        from belvedere.metrics import Metrics
        from belvedere.settings import MetricSettings, RequestSettings

        self.metrics = Metrics(MetricSettings(), RequestSettings(), service="benchmark")
        self.metrics.join([])

    def text(self) -> bytes:
        return self.metrics.text()

    def recycle(self, times: int) -> None:
        """Leave and come again, with all series, as a new worker does."""
        for _ in range(times):
            self.metrics.close()
            self.join()

    def lag(self, rate: int) -> list[float]:
        """Return how late the event loop was each time in milliseconds, with so many scrapes a second in a thread."""
        return asyncio.run(self._lag(rate))

    async def _lag(self, rate: int) -> list[float]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + 5
        delays = []

        async def scrape() -> None:
            while loop.time() < ends:
                await loop.run_in_executor(None, self.text)
                await asyncio.sleep(1 / rate)

        scraper = asyncio.create_task(scrape()) if rate else None
        while loop.time() < ends:
            due = loop.time() + _PORTION
            await asyncio.sleep(_PORTION)
            delays.append((loop.time() - due) * 1000)
        if scraper is not None:
            await scraper
        return delays


def _work(kind: str, folder: str, connection: Connection) -> None:
    """Answer questions, and count in between where it is busy."""
    if kind == "prometheus":
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    worker = Theirs() if kind == "prometheus" else Mapped()
    busy = False
    while True:
        while busy and not connection.poll():
            for _ in range(100):
                worker.counter.labels("shard-1").inc()
            time.sleep(_PORTION)
        try:
            question, *arguments = connection.recv()
        except EOFError:
            return
        if question in {"busy", "idle"}:
            busy = question == "busy"
            connection.send(None)
        elif question == "ready":
            connection.send(True)
        else:
            connection.send(getattr(worker, question)(*arguments))
