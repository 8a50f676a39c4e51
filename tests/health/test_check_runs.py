"""When and where checks run: side by side, once for all who ask, and never piling up where one hangs."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from belvedere.asgi import Attachment, Plan
from belvedere.context import current
from belvedere.parts import Check
from tests.health.conftest import Clock, Make, checks, threads_ended


async def test_checks_run_at_the_same_time(make: Make) -> None:
    """The checks of a probe run in parallel, async and sync alike: each of these waits for the others."""
    health = make()
    barrier: Any = asyncio.Barrier(2)
    threads = threading.Barrier(2)
    health.add(Check("a", barrier.wait))
    health.add(Check("b", barrier.wait))
    health.add(Check("c", lambda: threads.wait(60) >= 0))
    health.add(Check("d", lambda: threads.wait(60) >= 0))
    assert await checks(health) == {"a": "ok", "b": "ok", "c": "ok", "d": "ok"}


async def test_a_thousand_probes_run_a_check_once(make: Make) -> None:
    """However many probes ask at once, each check runs once; and one that goes away does not take the run along."""
    health = make()
    runs = 0
    asked, answer = asyncio.Event(), asyncio.Event()

    async def database() -> None:
        nonlocal runs
        runs += 1
        asked.set()
        await answer.wait()

    health.add(Check("database", database))
    app = health.served()["/readyz"]
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> dict[str, Any]:
        raise AssertionError

    probes: list[asyncio.Future[None]] = [
        asyncio.ensure_future(app({"type": "http", "method": "GET"}, receive, send)) for _ in range(1000)
    ]
    await asked.wait()
    probes[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await probes[0]
    answer.set()
    await asyncio.gather(*probes[1:])
    assert (runs, statuses) == (1, [200] * 999)


async def test_a_result_serves_for_a_moment(make: Make, clock: Clock) -> None:
    """Within `cache` seconds probes are told the last result; after them the check runs again."""
    health = make(cache=5)
    passed = True

    async def database() -> bool:
        return passed

    health.add(Check("database", database))
    assert await checks(health) == {"database": "ok"}
    passed = False
    clock.seconds += 4.9
    assert await checks(health) == {"database": "ok"}
    clock.seconds += 0.2
    assert await checks(health) == {"database": "failed"}


async def test_async_checks_stay_on_the_loop_and_sync_ones_off_it(make: Make) -> None:
    """An async check runs in the loop's thread, a sync one in a thread of its own that ends with it."""
    health = make()
    seen: dict[str, str] = {}

    async def on_loop() -> None:
        seen["async"] = threading.current_thread().name

    def off_loop() -> None:
        seen["sync"] = threading.current_thread().name

    health.add(Check("a", on_loop))
    health.add(Check("b", off_loop))
    await checks(health)
    assert seen == {"async": threading.current_thread().name, "sync": "belvedere-check-b"}
    threads_ended()


async def test_a_sync_check_that_hangs_costs_one_thread(make: Make, clock: Clock) -> None:
    """While a sync check hangs it is failed without a further thread; once it ends, it is run again."""
    health = make(cache=0)
    started: list[str] = []
    release = threading.Event()

    def database() -> None:
        started.append(threading.current_thread().name)
        release.wait(30)

    results: list[tuple[str, bool, float]] = []
    health.on_result = lambda *result: results.append(result)
    health.add(Check("database", database, timeout=0.01))
    assert await checks(health) == {"database": "failed"}
    clock.seconds += 7
    assert await checks(health) == {"database": "failed"}
    assert started == ["belvedere-check-database"]
    assert results == [("database", False, 0.0), ("database", False, 7.0)]
    release.set()
    threads_ended()
    assert await checks(health) == {"database": "ok"}
    assert len(started) == 2
    threads_ended()


async def test_an_async_check_that_will_not_be_cancelled_costs_one_task(make: Make) -> None:
    """While a check ignores its cancellation it is failed without a further task; once it ends, it is run again."""
    health = make(cache=0)
    runs = 0
    release = asyncio.Event()

    async def database() -> None:
        nonlocal runs
        runs += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    health.add(Check("database", database, timeout=0.01))
    assert await checks(health) == {"database": "failed"}
    assert await checks(health) == {"database": "failed"}
    assert runs == 1
    release.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await checks(health) == {"database": "ok"}


async def test_no_thread_left_is_a_failed_check(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system gives no further thread, the check has failed; it runs again when there is one."""
    health = make(cache=0)
    health.add(Check("database", lambda: None))
    with monkeypatch.context() as patched:

        def start(thread: threading.Thread) -> None:
            if thread.name.startswith("belvedere-check"):
                raise RuntimeError("can't start new thread")
            begin(thread)  # somebody else's in this process

        begin = threading.Thread.start
        patched.setattr(threading.Thread, "start", start)
        assert await checks(health) == {"database": "failed"}
    assert await checks(health) == {"database": "ok"}


setting: ContextVar[str] = ContextVar("setting", default="unset")


async def test_a_run_belongs_to_no_request(make: Make) -> None:
    """Checks see the context variables of the process, and neither the request nor the variables of whoever probed."""
    token = setting.set("process")
    health = make()
    seen: list[tuple[Any, str]] = []

    async def on_loop() -> None:
        seen.append((current.get(), setting.get()))

    def off_loop() -> None:
        seen.append((current.get(), setting.get()))

    health.add(Check("a", on_loop))
    health.add(Check("b", off_loop))
    plan = Plan()
    plan.served = health.served()
    app = FastAPI()
    attachment = Attachment(app, plan, {})
    setting.set("request")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop.test") as client:
        await client.get("/readyz")
    attachment.remove()
    setting.reset(token)
    assert seen == [(None, "process")] * 2
