"""How long one application is served on after SIGTERM, while its readiness says that it is about to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from belvedere.conventions import Event
from belvedere.health.health import Health
from belvedere.health.termination import Termination, termination
from belvedere.settings import Settings

DEFAULT = 5.0
"""Seconds: enough for a load balancer that asks every second, and believes the third refusal."""


class Drain:
    """Takes part in the process's termination from start-up to shut-down of one application.

    Args:
        settings: the service's settings: `health.drain`, or what goes for its environment.
        health: answers 503 for readiness as soon as the signal comes.
        logger: gets `draining`; `None`: no event.
        flush: writes log lines out that wait, before the process ends by a signal.
        process: that of this process.
    """

    def __init__(
        self,
        settings: Settings,
        health: Health,
        logger: Any = None,
        flush: Callable[[], None] = lambda: None,
        process: Termination = termination,
    ) -> None:
        given = settings.health.drain if settings.health is not None else 0.0
        if given is None:
            given = 0.0 if settings.environment == "local" else DEFAULT
        self.seconds = given
        self.flush = flush
        self.why = f"drains for {given:g} s on SIGTERM" if given else ""
        self._health = health
        self._logger = logger
        self._process = process
        process.drains.add(self)

    async def start(self) -> None:
        """Drain on SIGTERM from now on, if there is time for it and the server lets us."""
        if self.seconds and (missing := self._process.serve(self)) is not None:
            self.why = f"does not drain: {missing}"

    async def stop(self) -> None:
        """Put the handlers back that `start` replaced, if no other application needs that."""
        self._process.leave(self)

    def remove(self) -> None:
        """Do what `stop` does, for good; from any thread."""
        self._process.drains.discard(self)
        self._process.leave(self)
        self.end()

    def begin(self) -> None:
        """Take the application out of traffic."""
        self._health.draining = True

    def end(self) -> None:
        """Put it back into traffic: it is served anew, or no longer by us."""
        self._health.draining = False

    def tell(self, seconds: float) -> None:
        """Log that the process drains for so long."""
        if self._logger is not None:
            self._logger.info(Event.DRAINING, seconds=seconds)
