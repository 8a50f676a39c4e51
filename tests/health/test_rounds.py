from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from belvedere import failures
from belvedere.health import Health
from belvedere.parts import Check
from belvedere.settings import Settings
from tests.health.conftest import Clock, Log, get, threads_ended


class Sleeper:
    """Sleeps until told that the time is over."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await self.wake.wait()
        self.clock.seconds += seconds
        self.wake.clear()

    async def round(self) -> None:
        """Let the next round begin, and wait for its end."""
        self.asleep.clear()
        self.wake.set()
        await self.asleep.wait()


@pytest.fixture
async def sleeper(clock: Clock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture
async def health(clock: Clock, log: Log, sleeper: Sleeper) -> Health:
    return Health(Settings(health={"interval": 15}), log, clock=clock, sleep=sleeper)


def others() -> set[Any]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_all_checks_run_without_a_probe(health: Health, sleeper: Sleeper) -> None:
    """Every `interval` seconds all checks run, those of no probe as well; after `stop` no task is left."""
    results: list[tuple[str, bool]] = []
    health.on_result = lambda name, passed, _: results.append((name, passed))
    health.add(Check("database", lambda: None))
    health.add(Check("metered", lambda: False, probes=()))
    await health.start()
    await health.start()
    await sleeper.asleep.wait()
    assert sorted(results) == [("database", True), ("metered", False)]
    await sleeper.round()
    assert len(results) == 4
    assert sleeper.slept == [15.0, 15.0]
    await health.stop()
    await health.stop()
    assert others() == set()


async def test_an_interval_of_0_runs_nothing() -> None:
    """With `interval` 0 there is no task."""
    health = Health(Settings(health={"interval": 0}))
    await health.start()
    assert others() == set()
    await health.stop()


async def test_no_checks_are_no_work(health: Health, sleeper: Sleeper) -> None:
    """Rounds without checks go on waiting, as a check may be added later."""
    await health.start()
    await sleeper.asleep.wait()
    ran = asyncio.Event()

    async def late() -> None:
        ran.set()

    health.add(Check("late", late))
    await sleeper.round()
    assert ran.is_set()
    await health.stop()


async def test_it_starts_again_after_a_stop(health: Health, sleeper: Sleeper) -> None:
    """A health that was stopped can be started again."""
    await health.start()
    await sleeper.asleep.wait()
    await health.stop()
    sleeper.asleep.clear()
    await health.start()
    await sleeper.asleep.wait()
    await health.stop()
    assert others() == set()


async def test_a_failed_round_is_not_the_last(
    health: Health, sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of a round itself is contained, and the next one comes."""
    health.add(Check("database", lambda: None))
    before = failures.counts["health"]
    with monkeypatch.context() as patched:

        def wait(*_: object) -> None:
            raise RuntimeError("broken")

        patched.setattr("belvedere.health.health.asyncio.wait", wait)
        await health.start()
        await sleeper.asleep.wait()
    assert failures.counts["health"] == before + 1
    results: list[Any] = []
    health.on_result = lambda *result: results.append(result)
    await sleeper.round()
    assert len(results) == 1
    await health.stop()


async def test_stop_ends_checks_that_run(clock: Clock) -> None:
    """`stop` cancels a running check; a probe that waits for it is told that it failed."""
    health = Health(Settings(), clock=clock)
    running = asyncio.Event()
    ended = []

    async def database() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    health.add(Check("database", database))
    probe = asyncio.ensure_future(get(health, "/readyz"))
    await running.wait()
    await health.stop()
    response = await probe
    assert (response.status_code, response.json()["checks"]) == (503, {"database": "failed"})
    assert ended == [True]
    assert others() == set()


async def test_stop_lets_a_check_come_to_its_end(clock: Clock) -> None:
    """A check that answers within a second is not cancelled, in whatever it was in the middle of."""
    health = Health(Settings(), clock=clock)
    running, ended = asyncio.Event(), []

    async def database() -> None:
        running.set()
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append(True)

    health.add(Check("database", database))
    probe = asyncio.ensure_future(get(health, "/readyz"))
    await running.wait()
    await health.stop()
    assert ended == [True]
    assert (await probe).json() == {"status": "ready", "checks": {"database": "ok"}}
    assert others() == set()


async def test_stop_waits_for_no_thread(clock: Clock) -> None:
    """A sync check that hangs does not hold up `stop`, and its late answer disturbs nobody."""
    health = Health(Settings(), clock=clock)
    running, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def database() -> None:
        loop.call_soon_threadsafe(running.set)
        release.wait(30)

    health.add(Check("database", database))
    probe = asyncio.ensure_future(get(health, "/readyz"))
    await running.wait()
    await health.stop()
    assert (await probe).status_code == 503
    release.set()
    threads_ended()
    await asyncio.sleep(0)
    assert others() == set()


async def test_discarding_a_check_ends_its_run(clock: Clock) -> None:
    """A check that is taken out while it runs is cancelled, and forgotten by the probes."""
    health = Health(Settings(), clock=clock)
    running = asyncio.Event()

    async def hang() -> None:
        running.set()
        await asyncio.Event().wait()

    check = Check("database", hang)
    health.add(check)
    probe = asyncio.ensure_future(get(health, "/readyz"))
    await running.wait()
    health.discard(check)
    await probe
    response = await get(health, "/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": {}})


def test_a_run_of_another_loop_is_not_waited_for(clock: Clock) -> None:
    """Where a loop stands still or was closed with a run and rounds in it, the next loop begins its own."""
    health = Health(Settings(health={"cache": 0}), clock=clock)
    runs: list[asyncio.Task[Any] | None] = []
    running = asyncio.Event()

    async def hang_at_first() -> None:
        runs.append(asyncio.current_task())
        if len(runs) == 1:
            running.set()
            await asyncio.Event().wait()

    health.add(Check("database", hang_at_first))

    async def leave() -> asyncio.Future[Any]:
        await health.start()
        probe = asyncio.ensure_future(get(health, "/readyz"))
        await running.wait()
        return probe

    async def come() -> None:
        await health.start()
        assert (await get(health, "/readyz")).json() == {"status": "ready", "checks": {"database": "ok"}}
        await health.stop()
        assert others() == set()

    async def clean_up(probe: asyncio.Future[Any]) -> None:
        left = others()
        for task in left:
            task.cancel()
        await asyncio.gather(probe, *left, return_exceptions=True)

    loop = asyncio.new_event_loop()
    probe = loop.run_until_complete(leave())
    asyncio.run(come())
    loop.run_until_complete(clean_up(probe))
    loop.close()


def test_a_loop_that_was_closed_is_no_failure(clock: Clock) -> None:
    """A thread that answers after its loop was closed, and a stop after that, disturb nobody."""
    health = Health(Settings(), clock=clock)
    started, release = threading.Event(), threading.Event()

    def database() -> None:
        started.set()
        release.wait(30)

    health.add(Check("database", database, timeout=0.01))
    asyncio.run(get_once(health))
    assert started.wait(60)
    release.set()
    threads_ended()
    assert health.cancel() == []


async def get_once(health: Health) -> None:
    assert (await get(health, "/readyz")).status_code == 503
