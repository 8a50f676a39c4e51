"""Which check holds the event loop: each step of one that runs there is timed, and a long one is told by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from belvedere import failures
from belvedere.conventions import Event

SLOW = 0.1
"""Seconds of one step from which on it is told, as of asyncio's `loop.slow_callback_duration`.

https://docs.python.org/3/library/asyncio-dev.html#debug-mode
"""
LOG_EVERY = 60.0
"""Seconds between two log events about the same check."""


class Blocking:
    """Watches the steps of one check.

    A step is what runs from one `await` that has to wait to the next: for so long nothing else runs on the loop. Steps
    of tasks that the check starts itself are not seen.

    Args:
        check: its name.
        clock: seconds that never go back.
        logger: gets `check_blocked_loop`, right after the step and once a minute at most; `None`: no events.
    """

    def __init__(self, check: str, clock: Callable[[], float], logger: Any = None) -> None:
        self._check = check
        self._clock = clock
        self._logger = logger
        self._last_line = float("-inf")

    async def watched(self, awaitable: Awaitable[Any]) -> Any:
        """Await `awaitable`, and return what it returns."""
        return await _Steps(awaitable, self._clock, self._step)

    def _step(self, seconds: float) -> None:
        now = self._clock()
        if seconds < SLOW or self._logger is None or now - self._last_line < LOG_EVERY:
            return
        self._last_line = now
        try:
            self._logger.warning(Event.CHECK_BLOCKED_LOOP, check=self._check, seconds=round(seconds, 6))
        except Exception as error:  # a broken logger is no failure of the check
            failures.contain("health", error)


class _Steps(Generator[Any, Any, Any]):
    """What `await` drives in place of the awaitable: the same steps, each with its time."""

    def __init__(self, awaitable: Awaitable[Any], clock: Callable[[], float], tell: Callable[[float], None]) -> None:
        self._clock = clock
        self._tell = tell
        # What coroutines, futures and others give is driven alike; a generator that is a coroutine is driven itself.
        begin = getattr(awaitable, "__await__", None)
        self._steps: Any = awaitable if begin is None else self._timed(begin)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def __next__(self) -> Any:
        # Not by way of `send`, which an iterator need not have.
        return self._timed(next, self._steps)

    def send(self, value: Any) -> Any:
        return self._timed(self._steps.send, value)

    def throw(self, *error: Any) -> Any:
        return self._timed(self._steps.throw, *error)

    def close(self) -> None:
        if hasattr(self._steps, "close"):
            self._timed(self._steps.close)

    def _timed(self, step: Callable[..., Any], *arguments: Any) -> Any:
        began = self._clock()
        try:
            return step(*arguments)
        finally:
            self._tell(self._clock() - began)
