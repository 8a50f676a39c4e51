"""A clock and a wait that only move when told, a logger that remembers, and what is made of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import httpx
import pytest

from belvedere.health import Health
from belvedere.health.termination import Termination
from belvedere.settings import Settings

NOW = datetime(2026, 3, 1, 12, 30, 15, 250000, UTC)


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Line(NamedTuple):
    level: str
    event: str
    fields: dict[str, Any]


class Log(list[Line]):
    """A structlog logger that keeps what it is given."""

    def info(self, event: str, **fields: Any) -> None:
        self.append(Line("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.append(Line("warning", event, fields))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Log:
    return Log()


Make = Callable[..., Health]


@pytest.fixture
async def make(clock: Clock, log: Log) -> AsyncIterator[Make]:
    """Makes a `Health` of these settings of `health`, and stops it after the test."""
    made: list[Health] = []

    def make(**health: Any) -> Health:
        settings = Settings(service="shop", version="1.2.3", health=health)
        made.append(Health(settings, log, clock=clock, now=lambda: NOW))
        return made[-1]

    yield make
    for health in made:
        await health.stop()


def threads_ended() -> None:
    """Wait until no thread of a check is left; what they answer comes to the loop later."""
    for thread in threading.enumerate():
        if thread.name.startswith("belvedere-check"):
            thread.join(60)
            assert not thread.is_alive()


async def get(health: Health, path: str, method: str = "GET") -> httpx.Response:
    """Ask one probe."""
    app: Any = health.served()[path]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        return await client.request(method, path)


async def checks(health: Health) -> Any:
    """Return what readiness says of each check."""
    return (await get(health, "/readyz")).json()["checks"]


class Waits(list[tuple[float, Callable[[], None]]]):
    """Stands for the loop's `call_later`: keeps what is to be called, and after how long."""

    def __call__(self, loop: Any, seconds: float, call: Callable[[], None]) -> Waits:
        self.append((seconds, call))
        return self

    def cancel(self) -> None:
        """Nothing: the tests call what they want called."""

    def over(self) -> None:
        """Call what waits, as if its time had come."""
        for _, call in list(self):
            call()


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def process(waits: Waits, clock: Clock) -> Termination:
    return Termination(waits, clock, lambda: False)


@pytest.fixture
def handlers() -> Iterator[None]:
    """The test begins with Python's own handler of SIGINT, and leaves the signals' handlers as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a command in the background of a script has none
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
