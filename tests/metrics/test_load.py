"""Ten thousand series: what they cost in memory, and what a scrape of them does to everybody else."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fastapi import FastAPI

import belvedere
from tests.drive import ask
from tests.metrics.conftest import Observe
from tests.metrics.scraping import ASKS_OPENMETRICS

SERIES = 10_000
MEGABYTE = 1_000_000


@contextmanager
def growth(measured: list[float]) -> Iterator[None]:
    """Append the megabytes that are still there after the block."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        gc.collect()
        measured.append(tracemalloc.get_traced_memory()[0] / MEGABYTE)
    finally:
        tracemalloc.stop()


def declare(prefix: str) -> None:
    """Make 10,000 series of declared metrics, half of them samples of histograms."""
    jobs = belvedere.counter(f"{prefix}_jobs", "Jobs.", ["queue", "kind"], max_series=SERIES)
    for number in range(SERIES // 2):
        jobs.labels(f"queue-{number}", "mail").inc()
    seconds = belvedere.histogram(f"{prefix}_seconds", "Seconds.", ["queue"], buckets=range(1, 18), max_series=SERIES)
    for number in range(SERIES // 2 // 20):
        seconds.labels(f"queue-{number}").observe(3)


def test_declared_series_cost_little_memory() -> None:
    """10,000 series of counters and histograms stay below 50 MB."""
    measured: list[float] = []
    with growth(measured):
        declare("memory")
    print(f"{SERIES} declared series: {measured[0]:.1f} MB")
    assert measured[0] < 50


async def test_series_of_requests_cost_little_memory(observe: Observe) -> None:
    """So do those that 10,000 label sets of context bring, and they are bounded whatever comes."""
    app = FastAPI()

    @app.get("/{tenant}")
    async def root(tenant: str) -> None:
        belvedere.bind(tenant=tenant)

    observability = observe(app, metrics={"context_labels": {"tenant": 400}})
    await ask(app, "GET", "/first")
    measured: list[float] = []
    with growth(measured):
        for number in range(1000):
            await ask(app, "GET", f"/t{number}")
    text = observability._metrics.text().decode()  # type: ignore[union-attr]
    series = sum(1 for line in text.splitlines() if "tenant=" in line)
    print(f"{series} series of requests: {measured[0]:.1f} MB")
    assert 10_000 < series < 15_000
    assert measured[0] < 50


@pytest.mark.parametrize("accept", [b"text/plain", ASKS_OPENMETRICS], ids=["text", "openmetrics"])
@pytest.mark.parametrize("encoding", [b"identity", b"gzip"])
async def test_a_scrape_of_ten_thousand_series_lets_the_event_loop_go_on(
    accept: bytes, encoding: bytes, observe: Observe
) -> None:
    """It is rendered in a thread that gives way: what is due on the loop meanwhile is late by less than 20 ms."""
    app = FastAPI()
    observe(app)
    declare("scraped")
    headers = [(b"accept", accept), (b"accept-encoding", encoding)]
    await ask(app, "GET", "/metrics", headers=headers)

    async def worst_tick(until: asyncio.Task[object]) -> tuple[float, int]:
        # In the process's own time: what others on the machine take of it is no delay of ours.
        worst, ticks, last = 0.0, 0, time.process_time()
        while not until.done():
            await asyncio.sleep(0.0005)
            now = time.process_time()
            worst, last = max(worst, now - last), now
            ticks += 1
        return worst, ticks

    figures = []
    # Until one is good enough: a machine that has other things to do is late by itself, and not each time.
    for _ in range(30):
        scraping = asyncio.create_task(ask(app, "GET", "/metrics", headers=headers))
        worst, ticks = await worst_tick(scraping)
        assert scraping.result().status == 200
        figures.append((worst, ticks))
        if worst < 0.02 and ticks > 10:
            break
    else:
        worst, ticks = min(figures)
    print(f"worst delay of the loop during a scrape: {worst * 1000:.1f} ms, in {ticks} turns")
    assert worst < 0.02
    assert ticks > 10


async def test_a_scrape_is_rendered_in_a_thread_of_its_own(observe: Observe) -> None:
    """Neither on the loop nor in the pool of sync endpoints, which may be full."""
    app = FastAPI()
    observability = observe(app)
    threads = []

    def render(openmetrics: bool) -> bytes:
        threads.append(threading.current_thread().name)
        return b"text"

    observability._metrics._scrapes._render = render  # type: ignore[union-attr]
    answer = await ask(app, "GET", "/metrics")
    assert answer.body == b"text"
    assert threads == ["belvedere-scrape"]


async def test_concurrent_scrapes_each_get_all_of_it(observe: Observe) -> None:
    """Several scrapers at once, while requests are counted, read texts that are whole."""
    app = FastAPI()
    observe(app)
    declare("shared")
    answers = await asyncio.gather(
        *(ask(app, "GET", "/metrics" if number % 2 else f"/nowhere/{number}") for number in range(12))
    )
    scrapes = [answer.body.decode() for answer in answers if answer.status == 200]
    assert len(scrapes) == 6
    for text in scrapes:
        assert text.endswith("\n")
        assert text.count("\nshared_jobs_total{") == SERIES // 2
        assert text.count("\nshared_seconds_bucket{") == SERIES // 2 // 20 * 18
