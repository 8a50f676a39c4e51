"""Runs all checks now and then, so that their metrics are true where nobody probes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from belvedere import failures
from belvedere.health.tasks import Task, cancelled, pending


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
        self._task: Task | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._interval and not pending(self._task):
            self._task = asyncio.create_task(self._forever())

    def cancel(self) -> list[Task]:
        """Cancel the rounds, and return their task."""
        task, self._task = self._task, None
        return cancelled(task)

    async def _forever(self) -> None:
        while True:
            try:
                await self._run()
            except Exception as error:  # the next round may succeed
                failures.contain("health", error)
            await self._sleep(self._interval)
