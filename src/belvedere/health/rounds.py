"""Runs all checks now and then, so that their metrics are true where nobody probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from belvedere import failures


class Rounds:
    """Calls `run`, waits `interval` seconds, and begins again, from `start` until `stop`.

    Args:
        run: one round.
        interval: seconds between rounds; 0: none.
        sleep: waits for that many seconds.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[None]],
        interval: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._run = run
        self._interval = interval
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun in this loop."""
        if self._interval and (self._task is None or self._task.get_loop() is not asyncio.get_running_loop()):
            self._task = asyncio.create_task(self._forever())

    def cancel(self) -> list[asyncio.Task[None]]:
        """Cancel the rounds, and return their task."""
        task, self._task = self._task, None
        if task is None or task.done():
            return []
        loop = task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
        return [task]

    async def _forever(self) -> None:
        while True:
            try:
                await self._run()
            except Exception as error:  # the next round may succeed
                failures.contain("health", error)
            await self._sleep(self._interval)
