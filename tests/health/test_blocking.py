"""A check that holds the event loop is named in the log."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from belvedere import failures
from belvedere.health import Health
from belvedere.parts import Check
from belvedere.settings import Settings
from tests.health.conftest import Clock, Log, Make, get, threads_ended


def blocked(log: Log) -> list[dict[str, Any]]:
    return [line.fields for line in log if line.event == "check_blocked_loop"]


async def test_a_check_that_blocks_the_loop_is_named(make: Make, clock: Clock, log: Log) -> None:
    """One warning with the check and how long the longest step held the loop; the others, that wait, are not named."""
    health = make()

    async def blocking() -> None:
        await asyncio.sleep(0)
        clock.seconds += 0.25

    async def waiting() -> None:
        await asyncio.sleep(0.01)
        clock.seconds += 0.099

    health.add(Check("database", waiting))
    health.add(Check("search", blocking))
    assert (await get(health, "/readyz")).json()["checks"] == {"database": "ok", "search": "ok"}
    assert [(line.level, line.event) for line in log] == [("warning", "check_blocked_loop")]
    assert blocked(log) == [{"check": "search", "seconds": 0.25}]


async def test_time_that_a_check_waits_is_not_its_own(make: Make, clock: Clock, log: Log) -> None:
    """However long it waits, with the loop free for others."""
    health = make()

    async def hanging() -> None:
        await asyncio.sleep(0.01)

    async def meanwhile() -> None:
        clock.seconds += 1.5

    health.add(Check("database", hanging))
    await asyncio.gather(get(health, "/readyz"), meanwhile())
    assert blocked(log) == []


async def test_it_is_told_once_a_minute_for_each_check(make: Make, clock: Clock, log: Log) -> None:
    """A check that always blocks does not fill the log, and keeps no other from being named."""
    health = make(cache=0)

    async def blocking() -> None:
        clock.seconds += 0.125

    health.add(Check("database", blocking))
    await get(health, "/readyz")
    health.add(Check("search", blocking))
    for _ in range(3):
        await get(health, "/readyz")
    assert [line["check"] for line in blocked(log)] == ["database", "search"]
    clock.seconds += 60
    await get(health, "/readyz")
    assert [line["check"] for line in blocked(log)] == ["database", "search", "database", "search"]


class Awaited:
    """An awaitable of somebody's own, whose steps are a plain iterator."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step

    def __await__(self) -> Any:
        self._step()
        return iter(())


@pytest.mark.parametrize("kind", ["coroutine", "future", "own", "generator", "from a thread"])
async def test_whatever_is_awaited_is_watched(kind: str, make: Make, clock: Clock, log: Log) -> None:
    """A coroutine, a future, an object of somebody's own, and what a sync check leaves to be awaited."""
    health = make()

    def step() -> None:
        clock.seconds += 0.5

    async def coroutine() -> None:
        step()

    @types.coroutine
    def generator() -> Generator[None]:
        step()
        yield

    def call() -> Awaitable[Any]:
        if kind == "future":
            return asyncio.ensure_future(coroutine(), loop=loop)
        return {"own": Awaited(step), "generator": generator()}.get(kind) or coroutine()

    loop = asyncio.get_running_loop()
    health.add(Check("database", coroutine if kind == "coroutine" else call))
    response = await get(health, "/readyz")
    threads_ended()
    assert response.json()["checks"] == {"database": "ok"}
    # A task is not the check's own step: what it does is somebody else's, as far as one can see.
    assert len(blocked(log)) == (0 if kind == "future" else 1)


async def test_what_is_thrown_into_a_check_is_watched_as_well(make: Make, clock: Clock, log: Log) -> None:
    """A check that takes long to give up when it is cancelled is named, and has failed."""
    health = make()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            clock.seconds += 0.3

    health.add(Check("database", stubborn, timeout=0.01))
    assert (await get(health, "/readyz")).json()["checks"] == {"database": "failed"}
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert blocked(log) == [{"check": "database", "seconds": 0.3}]


async def test_a_logger_that_fails_fails_no_check(clock: Clock) -> None:
    """It is counted as a failure of ours."""

    class Broken:
        def warning(self, event: str, **fields: Any) -> None:
            raise OSError

    before = failures.counts["health"]
    health = Health(Settings(service="shop"), Broken(), clock=clock)

    async def blocking() -> Generator[None]:
        clock.seconds += 0.3
        return None  # type: ignore[return-value]

    health.add(Check("database", blocking))
    assert (await get(health, "/readyz")).json()["checks"] == {"database": "ok"}
    assert failures.counts["health"] == before + 1
