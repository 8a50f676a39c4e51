"""The part that an application gives to `observe`, and asks for limits."""

from __future__ import annotations

import limits.aio.storage

from belvedere.parts import Host


class RateLimiter:
    """A part that limits how often routes may be asked.

    Args:
        url: of a Redis that all workers share; without one, each process counts for itself.
    """

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._local = limits.aio.storage.MemoryStorage()

    def install(self, host: Host) -> None:
        """Be told which application it is that is limited."""

    def uninstall(self) -> None:
        """Let go of what the limiter holds for the application."""
