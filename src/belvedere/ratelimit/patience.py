"""A time-out that does not hold against others what this process was late for itself."""

from __future__ import annotations

import asyncio
from types import TracebackType

SLICES = 5
"""Parts of a time-out, each of which counts if its timer came in time."""
LATE = 0.002
"""Seconds by which a timer may be late; event loops round to milliseconds."""
MOST = 10
"""Time-outs that a block may take in all, however late everything is."""


class Patience:
    """An `async with` block that may take so many seconds, raising `TimeoutError` past them.

    When something held the event loop, or other processes had the processor, an answer may have come in time and not
    have been looked at yet; and whoever answers on the same machine had no turn either. Such moments do not count.

    Args:
        seconds: of the event loop's clock.
    """

    __slots__ = ("_due", "_end", "_handle", "_left", "_loop", "_scope", "_slice")

    def __init__(self, seconds: float) -> None:
        self._slice = seconds / SLICES
        self._left = SLICES

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        await self._scope.__aenter__()
        now = self._loop.time()
        self._end = now + MOST * SLICES * self._slice
        self._wait(now)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._handle.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def _wait(self, now: float) -> None:
        self._due = now + self._slice
        self._handle = self._loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if now - self._due <= LATE:
            self._left -= 1
        if self._left and now < self._end:
            self._wait(now)
        else:
            self._scope.reschedule(now)
