"""How the process and Belvedere itself are doing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI

import belvedere
from belvedere.metrics.runtime import LoopLag
from tests.drive import ask, running
from tests.metrics.conftest import Clock, Observe
from tests.metrics.scraping import scrape


async def test_belvedere_tells_its_version_and_what_is_on(observe: Observe) -> None:
    """One series, whose features are those of the report."""
    app = FastAPI()
    observability = observe(app, headers=None)
    on = ",".join(name for name, row in observability.report().items() if row["state"] == "on")
    (text,) = (await scrape(app)).samples("belvedere_info")
    assert text.startswith(f'belvedere_info{{features="{on}",version="')
    assert "headers" not in on


async def test_checks_are_up_or_not_and_take_their_time(observe: Observe) -> None:
    """Each run of a check sets its gauge and is timed."""
    app = FastAPI()

    async def fail() -> None:
        raise ConnectionError

    observe(app, belvedere.Check("database", lambda: True), belvedere.Check("search", fail, critical=False))
    await ask(app, "GET", "/readyz")

    found = await scrape(app)
    assert found.samples("belvedere_check_up", "belvedere_check_duration_seconds_count") == {
        'belvedere_check_up{check="database"}': 1.0,
        'belvedere_check_up{check="search"}': 0.0,
        'belvedere_check_duration_seconds_count{check="database"}': 1.0,
        'belvedere_check_duration_seconds_count{check="search"}': 1.0,
    }
    buckets = found.samples("belvedere_check_duration_seconds_bucket")
    assert buckets['belvedere_check_duration_seconds_bucket{check="database",le="+Inf"}'] == 1.0
    assert len(buckets) == 24


def test_the_lag_is_that_of_the_loop_that_started_last() -> None:
    """Two servers of one process may share an application: neither sets timers in the other's loop."""
    lag = LoopLag()

    async def tick() -> None:
        lag.tick()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(lag.start())
        second.run(lag.start())
        planned: list[object] = []
        second.get_loop().call_later = lambda *call, **_: planned.append(call)  # type: ignore[assignment,method-assign]
        first.run(tick())
        assert planned == []
        second.run(tick())
        assert len(planned) == 1


async def test_the_thread_pool_shows_who_is_busy_and_who_waits(observe: Observe) -> None:
    """Sync endpoints in the pool are busy threads, those beyond its size wait."""
    app = FastAPI()
    begun = threading.Semaphore(0)
    go = threading.Event()

    @app.get("/sync")
    def sync() -> None:
        begun.release()
        go.wait(60)

    observe(app)
    limiter = anyio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 2
    try:
        requests = [asyncio.create_task(ask(app, "GET", "/sync")) for _ in range(5)]
        for _ in range(2):
            await asyncio.to_thread(begun.acquire)
        while limiter.statistics().tasks_waiting < 3:  # noqa: ASYNC110 - nobody tells when one begins to wait
            await asyncio.sleep(0)
        during = (await scrape(app)).samples("belvedere_threadpool_threads")
        go.set()
        await asyncio.gather(*requests)
        after = (await scrape(app)).samples("belvedere_threadpool_threads")
    finally:
        go.set()
        limiter.total_tokens = before

    assert during == {
        'belvedere_threadpool_threads{state="busy"}': 2.0,
        'belvedere_threadpool_threads{state="idle"}': 0.0,
        'belvedere_threadpool_threads{state="waiting"}': 3.0,
    }
    assert after == {
        'belvedere_threadpool_threads{state="busy"}': 0.0,
        'belvedere_threadpool_threads{state="idle"}': 2.0,
        'belvedere_threadpool_threads{state="waiting"}': 0.0,
    }


async def test_the_lag_is_the_worst_delay_of_the_last_windows() -> None:
    """A delay is remembered for one window at least and two at most, and one that lasts is seen while it does."""
    clock = Clock()
    lag = LoopLag(clock)
    assert lag.seconds == 0.0
    await lag.start()
    try:
        clock.seconds += 0.25
        lag.tick()
        assert lag.seconds == 0.0
        clock.seconds += 0.25 + 0.7
        assert lag.seconds == pytest.approx(0.7)
        lag.tick()
        clock.seconds += 0.25
        lag.tick()
        assert lag.seconds == pytest.approx(0.7)
        clock.seconds += 15 - 0.25
        lag._due = clock.seconds
        lag.tick()
        assert lag.seconds == pytest.approx(0.7)
        clock.seconds += 15
        lag._due = clock.seconds
        lag.tick()
        assert lag.seconds == 0.0
    finally:
        await lag.stop()
    clock.seconds += 100
    assert lag.seconds == 0.0


async def test_the_lag_is_measured_while_the_application_runs(observe: Observe) -> None:
    """From start-up to shutdown there is one timer, and afterwards none."""
    app = FastAPI()
    observability = observe(app)
    lag: Any = observability._metrics.lag  # type: ignore[union-attr]
    async with running(app):
        assert lag._handle is not None
        (value,) = (await scrape(app)).samples("belvedere_event_loop_lag_seconds").values()
        assert 0 <= value < 5
    assert lag._handle is None


async def test_the_processs_own_metrics_are_there(observe: Observe) -> None:
    """Those of prometheus-client: CPU, memory, descriptors, start, interpreter."""
    app = FastAPI()
    observe(app)
    names = set((await scrape(app)).types())
    assert {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
        "python_info",
        "python_gc_collections_total",
    } <= names


async def test_an_observer_that_fails_is_counted_and_touches_no_request(observe: Observe) -> None:
    """The answer is the same, the other observers run, and each failure is counted under its feature."""

    class Broken:
        feature = "audit"

        def install(self, host: belvedere.Host) -> None:
            host.observer(self)

        def uninstall(self) -> None: ...

        def begin(self, request: Any) -> None:
            raise LookupError

        def finish(self, request: Any) -> None:
            raise LookupError

    app = FastAPI()

    @app.get("/")
    async def root() -> str:
        return "fine"

    observe(app, Broken())
    answers = [await ask(app) for _ in range(3)]
    assert [(answer.status, answer.json()) for answer in answers] == [(200, "fine")] * 3
    # Beside those of the three requests, the one of the scrape's own beginning.
    assert (await scrape(app)).samples("belvedere_internal_errors_total", "http_requests_total") == {
        'belvedere_internal_errors_total{feature="audit"}': 7.0,
        'http_requests_total{endpoint="/",method="GET",status="200"}': 3.0,
    }


async def test_dropped_lines_are_counted_from_nought(observe: Observe) -> None:
    """The counter is there before anything was dropped."""
    app = FastAPI()
    observe(app)
    assert (await scrape(app)).samples("belvedere_log_lines_dropped_total") == {
        "belvedere_log_lines_dropped_total": 0.0
    }
