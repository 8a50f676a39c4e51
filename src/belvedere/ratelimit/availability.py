"""Whether the shared store is there: who finds out, who is told, and when it is asked again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

from belvedere import failures
from belvedere.conventions import OWN_LOGGER, Event

INTERVAL = 1.0
"""Seconds between two questions to a store that is away."""
CALM = 10.0
"""Seconds without a failure after which a store counts as steady again."""
MOST_ANSWERS = 16
"""Answers in a row that a store which keeps going away has to give before it is used again."""


class Availability:
    """A switch that opens at the first failure, and closes when the store answers again.

    While it is open no request waits for the store; one question a second goes to it beside the requests. A store that
    goes away again soon after it was back has to answer twice, four times … in a row: one that is slow now and then
    would otherwise be used and left each second, with two log events each time.

    Args:
        store: what the log calls it; without secrets.
        probe: asks the store for something, raising if that fails.
        secrets: texts that no event may show.
        interval: seconds between two questions.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        store: str,
        probe: Callable[[], Awaitable[object]],
        secrets: tuple[str, ...] = (),
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.away = False
        self._store = store
        self._probe = probe
        self._secrets = secrets
        self._interval = interval
        self._clock = clock
        self._since = 0.0
        self._back = -CALM
        self._needed = 1
        self._answers = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asking: asyncio.Task[None] | None = None

    def lost(self, error: BaseException) -> None:
        """Be told that the store failed a request."""
        if self.away:
            self.watch()
            return
        self.away = True
        self._since = self._clock()
        soon = self._since - self._back < CALM
        self._needed = min(self._needed * 2, MOST_ANSWERS) if soon else 1
        self._answers = 0
        self._log(logging.WARNING, Event.RATE_LIMIT_STORE_UNAVAILABLE, self._reason(error), {})
        self.watch()

    def watch(self) -> None:
        """Ask the store from now on, if it is away, on the event loop that runs; another one may have ended."""
        loop = asyncio.get_running_loop()
        if self.away and (self._loop is not loop or (self._timer is None and self._asking is None)):
            self._loop = loop
            self._asking = None
            # Not in the context of the request that met the failure, whose ids the lines of later would have.
            self._timer = loop.call_later(self._interval, self._ask, context=Context())

    def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None and self._loop is not None and not self._loop.is_closed():
            self._asking.cancel()
        self._timer = self._asking = self._loop = None

    def _ask(self) -> None:
        self._timer = None
        self._asking = asyncio.get_running_loop().create_task(self._question())

    async def _question(self) -> None:
        try:
            await self._probe()
        except Exception:  # It is away still, which has been told.
            self._answers = 0
        else:
            self._answers += 1
            if self._answers >= self._needed:
                self._found()
        finally:
            self._asking = None
        self.watch()

    def _found(self) -> None:
        self.away = False
        self._back = self._clock()
        seconds = round(self._back - self._since, 3)
        self._log(logging.INFO, Event.RATE_LIMIT_STORE_RECOVERED, None, {"seconds": seconds})

    def _reason(self, error: BaseException) -> str:
        text = str(error).partition("\n")[0][:200]
        for secret in self._secrets:
            text = text.replace(secret, "")
        return f"{type(error).__name__}: {text}" if text else type(error).__name__

    def _log(self, level: int, event: str, reason: str | None, more: dict[str, object]) -> None:
        try:
            told = {"store": self._store, **({"reason": reason} if reason else {}), **more}
            logging.getLogger(OWN_LOGGER).log(level, event, extra=told)
        except Exception as error:
            failures.contain("limits", error)
