"""How the process itself is doing: the event loop's lag, and the threads that run sync endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import anyio.to_thread

from belvedere import failures

_TICK = 0.25
"""Seconds between two looks at the clock: short enough to see what a request feels, four wake-ups a second."""
_BEAT = 1.0
"""Seconds between two beats: how old what other workers tell may be, counts excepted."""
_WINDOW = 15.0
"""Seconds that the worst delay is remembered at least: a usual scrape interval."""


class LoopLag:
    """Measures how late the event loop runs what is due, and remembers the worst of the last 15 to 30 seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._window_ends = 0.0
        self._worst = [0.0, 0.0]

    @property
    def seconds(self) -> float:
        """The worst delay of this window and the one before, in seconds."""
        # A loop that is stuck right now is late already.
        late = self._clock() - self._due if self._handle is not None else 0.0
        return max(*self._worst, late, 0.0)

    async def start(self) -> None:
        # A second loop that serves the same application takes over: the first one's tick finds that out and ends.
        self._loop = asyncio.get_running_loop()
        self._window_ends = self._clock() + _WINDOW
        self._schedule()

    async def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def tick(self) -> None:
        """Note how late this call is, and plan the next."""
        if asyncio.get_running_loop() is not self._loop:
            return
        now = self._clock()
        self._worst[0] = max(self._worst[0], now - self._due)
        if now >= self._window_ends:
            self._worst = [0.0, self._worst[0]]
            self._window_ends = now + _WINDOW
        self._schedule()

    def _schedule(self) -> None:
        if self._loop is not None:
            self._due = self._clock() + _TICK
            self._handle = self._loop.call_later(_TICK, self.tick)


class Beat:
    """Runs something every second while the application runs.

    Args:
        call: what is run; a failure of it is contained.
    """

    def __init__(self, call: Callable[[], Awaitable[None]]) -> None:
        self._call = call
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        # An application may be started a second time in this process, on another loop.
        self.cancel()
        self._task = asyncio.create_task(self._run(), name="belvedere-metrics")

    async def stop(self) -> None:
        task = self._task
        self.cancel()
        if task is not None:
            await asyncio.wait({task})

    def cancel(self) -> None:
        """End it without waiting, from any thread."""
        task, self._task = self._task, None
        if task is not None and not task.done() and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            try:
                await self._call()
            except Exception as error:
                failures.contain("metrics", error)


def threadpool() -> dict[str, float]:
    """Return how many threads of the pool for sync endpoints are busy, idle (may still be started), and waited for.

    Must be called on the event loop, whose pool it is.
    """
    limiter = anyio.to_thread.current_default_thread_limiter()
    statistics = limiter.statistics()
    return {
        "busy": float(statistics.borrowed_tokens),
        "idle": float(statistics.total_tokens - statistics.borrowed_tokens),
        "waiting": float(statistics.tasks_waiting),
    }
