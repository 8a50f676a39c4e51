"""A time-out that does not hold against others what this process was late for itself."""

from __future__ import annotations

import asyncio
from types import TracebackType

LATE = 0.005
"""Seconds by which a timer may be late before the event loop counts as held up."""


class Patience:
    """An `async with` block that may take so many seconds, raising `TimeoutError` past them.

    When something held the event loop, an answer may have come in time and not have been looked at yet: a timer that
    fires late gives the block as long again as it was late.

    Args:
        seconds: of the event loop's clock.
    """

    __slots__ = ("_due", "_handle", "_loop", "_scope", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        self._wait(self._loop.time() + self._seconds)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handle.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def _wait(self, due: float) -> None:
        self._due = due
        self._handle = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        late = now - self._due
        if late > LATE:
            self._wait(now + late)
        else:
            self._scope.reschedule(now)
