"""What is told of an application's life: that it starts, serves, fails, ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from belvedere.conventions import OWN_LOGGER, Event
from belvedere.health import Health
from belvedere.logs import Logs, get_logger, mark_reported
from belvedere.settings import Settings
from belvedere.wiring.report import Report


class Life:
    """Logs the stages of an application's lifespan, and tells the start-up probe of them."""

    def __init__(
        self, app: Any, settings: Settings, logs: Logs | None, health: Health | None, report: Callable[[], Report]
    ) -> None:
        self._app = app
        self._settings = settings
        self._logs = logs
        self._log = get_logger(OWN_LOGGER) if logs else None
        self._health = health
        self._report = report
        self._began = 0.0

    async def starting(self) -> None:
        """Tell what starts, and what of it is on."""
        self._began = time.perf_counter()
        if self._health is not None:
            self._health.started = False
        if self._logs is not None and self._log is not None and self._settings.logs is not None:
            self._logs.reassert()
            self._logs.watch()
            self._log.info(
                Event.STARTING,
                app_name=self._settings.service,
                version=self._settings.version,
                debug=bool(getattr(self._app, "debug", False)),
                log_level=self._logs.level.upper(),
                features={name: f"{row['state']}: {row['why']}" for name, row in self._report().items()},
            )

    async def started(self) -> None:
        """Tell that it serves, and how long that took."""
        if self._health is not None:
            self._health.started = True
        if self._logs is not None and self._log is not None:
            self._logs.reassert()  # its start may have configured logging, as Alembic does
            seconds = round(time.perf_counter() - self._began, 3)
            self._log.info(Event.STARTED, version=self._settings.version, seconds=seconds)

    def failed(self, error: Exception, started: bool) -> None:
        """Tell why it could not be started, or stopped."""
        if self._log is not None:
            phase = "shutdown" if started else "startup"
            fields = {"exception_type": type(error).__name__, "exception_message": str(error)}
            self._log.error(Event.FAILED, phase=phase, **fields, exc_info=error)
            mark_reported(error)

    async def stopped(self) -> None:
        """Tell that it has ended, and write what is left of the log."""
        if self._logs is not None and self._log is not None:
            self._logs.unwatch()
            self._log.info(Event.STOPPED)
            self._logs.flush()

    def removed(self) -> None:
        """Say nothing more: where the lifespan goes on, nobody would format it."""
        self._log = None
