"""What one application's health is: its checks, whether it takes traffic, and the probes that tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any

from belvedere.health.blocking import Blocking
from belvedere.health.calls import Call, Outcome
from belvedere.health.payloads import Compact, Form, Full, Results
from belvedere.health.probes import Answer, ASGIApp, probe
from belvedere.health.rounds import Rounds
from belvedere.health.tasks import Task
from belvedere.health.watch import Watch
from belvedere.parts import Check, Probe
from belvedere.redaction import Redactor
from belvedere.settings import HealthSettings, LogSettings, Settings

DRAINING = "Draining"
OUT_OF_SERVICE = "Taken out of service"
UNKNOWN = Outcome(False, 0.0, reason="cancelled")
FINISH_WITHIN = 1.0
"""Seconds that `stop` gives checks to come to their own end."""
STOP_WITHIN = 1.0
"""Seconds that `stop` gives cancelled checks to end."""


class Health:
    """Runs the checks and answers the probes of one application.

    `ready` set to false takes the instance out of traffic by hand, `draining` because it is about to stop; `started`
    says that the application's start-up is complete. `on_result` is told (check, passed, seconds) after each run.

    Args:
        settings: the service's settings; `settings.health` is used as it is.
        logger: gets `check_failed`, `check_recovered` and `check_blocked_loop`; `None`: no events.
        context: what context variables are in checks; by default those that are set now.
        clock: seconds that never go back.
        now: the time of day.
        sleep: waits between rounds of checks.
    """

    def __init__(
        self,
        settings: Settings,
        logger: Any = None,
        *,
        context: Context | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.ready = True
        self.draining = False
        self.started = False
        self.on_result: Callable[[str, bool, float], None] | None = None
        self._settings = settings.health or HealthSettings()
        self._logger = logger
        self._clock = clock
        logs = settings.logs or LogSettings()
        self._redactor = Redactor(logs.redact, logs.allow)
        self._watches: dict[str, Watch] = {}
        # A run answers many requests: it sees the context variables of none of them.
        self._context = copy_context() if context is None else context
        self._rounds = Rounds(self._round, self._settings.interval, sleep)
        self._form = _form(settings, self._settings, now)

    def add(self, check: Check) -> None:
        """Run `check` for its probes from now on.

        Raises:
            ValueError: another check has that name.
        """
        if check.name in self._watches:
            raise ValueError(
                f"there is a check named {check.name!r} already: give this one another name, or discard the other first"
            )
        self._watches[check.name] = Watch(
            check,
            Call(
                check,
                check.timeout or self._settings.timeout,
                self._clock,
                self._redactor,
                Blocking(check.name, self._clock, self._logger),
            ),
            cache=self._settings.cache,
            clock=self._clock,
            context=self._context,
            tell=self._tell,
            logger=self._logger,
        )

    def discard(self, check: Check) -> None:
        """Forget `check`, and cancel it where it runs."""
        watch = self._watches.get(check.name)
        if watch is not None and watch.check is check:
            watch.cancel()
            del self._watches[check.name]

    def served(self) -> dict[str, ASGIApp]:
        """Return the application of each probe that has a path, by path."""
        answers: dict[str, Callable[[], Awaitable[Answer]]] = {
            "basic": self._basic,
            "live": self._live,
            "ready": self._ready,
            "startup": self._startup,
            "detailed": self._detailed,
        }
        return {path: probe(answers[name]) for name, path in self._paths() if path is not None}

    def describe(self) -> dict[str, list[dict[str, Any]]]:
        """Return the `probes` that are served, each with its path and the names of its checks, and the `checks`."""
        watches = list(self._watches.values())
        probes = [
            {
                "name": name,
                "path": path,
                "checks": [watch.check.name for watch in watches if name in watch.check.probes],
            }
            for name, path in self._paths()
            if path is not None
        ]
        checks = [
            {
                "name": watch.check.name,
                "critical": watch.check.critical,
                "timeout": watch.timeout,
                "probes": list(watch.check.probes),
            }
            for watch in watches
        ]
        return {"probes": probes, "checks": checks}

    async def start(self) -> None:
        """Begin to run all checks every `interval` seconds."""
        self._rounds.start()

    async def stop(self) -> None:
        """End what `start` began, once the checks that run have ended; one that hangs is cancelled, a thread left."""
        loop = asyncio.get_running_loop()
        rounds = self._rounds.cancel()
        if running := {task for watch in list(self._watches.values()) for task in watch.running()}:
            # Cancelled while it connects, a database's driver can leave a task behind that keeps the loop from ending.
            await asyncio.wait(running, timeout=FINISH_WITHIN)
        if tasks := {task for task in [*rounds, *self.cancel()] if task.get_loop() is loop}:
            await asyncio.wait(tasks, timeout=STOP_WITHIN)

    def cancel(self) -> list[Task]:
        """Do what `stop` does without waiting for it, from any thread; return what has yet to end."""
        tasks = self._rounds.cancel()
        for watch in list(self._watches.values()):
            tasks += watch.cancel()
        return tasks

    def _paths(self) -> Iterable[tuple[str, str | None]]:
        return ((name, getattr(self._settings, name)) for name in ("basic", "live", "ready", "startup", "detailed"))

    async def _basic(self) -> Answer:
        return 200, self._form.alive("healthy")

    async def _live(self) -> Answer:
        return 200, self._form.alive("alive")

    async def _ready(self) -> Answer:
        if self.draining or not self.ready:
            # At once, with what is known: a load balancer must not wait for a check that hangs.
            error = DRAINING if self.draining else OUT_OF_SERVICE
            return 503, self._form.checked("not_ready", self._known("ready"), error, named=False)
        results = await self._results("ready")
        passed = _passed(results)
        return 200 if passed else 503, self._form.checked(
            "ready" if passed else "not_ready", results, None, named=False
        )

    async def _startup(self) -> Answer:
        results = await self._results("startup")
        passed = self.started and _passed(results)
        return 200 if passed else 503, self._form.checked(
            "started" if passed else "starting", results, None, named=True
        )

    async def _detailed(self) -> Answer:
        results = await self._results("detailed")
        if not _passed(results):
            return 503, self._form.checked("unhealthy", results, None, named=False)
        whole = all(outcome.passed for _, outcome in results)
        return 200, self._form.checked("healthy" if whole else "degraded", results, None, named=False)

    async def _results(self, name: Probe) -> Results:
        watches = self._of(name)
        if runs := {run for watch in watches if (run := watch.begin()) is not None}:
            await asyncio.wait(runs)
        # A run that was cancelled leaves nothing: that is no success.
        return [(watch.check, watch.last or UNKNOWN) for watch in watches]

    def _known(self, name: Probe) -> Results:
        return [(watch.check, watch.last) for watch in self._of(name) if watch.last is not None]

    def _of(self, name: Probe) -> list[Watch]:
        return [watch for watch in self._watches.values() if name in watch.check.probes]

    async def _round(self) -> None:
        if runs := {run for watch in list(self._watches.values()) if (run := watch.begin()) is not None}:
            await asyncio.wait(runs)

    def _tell(self, check: Check, outcome: Outcome) -> None:
        if self.on_result is not None:
            self.on_result(check.name, outcome.passed, outcome.seconds)


def _passed(results: Results) -> bool:
    return all(outcome.passed or not check.critical for check, outcome in results)


def _form(settings: Settings, health: HealthSettings, now: Callable[[], datetime]) -> Form:
    def timestamp() -> str:
        return now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

    if health.payload == "full":
        return Full(settings.service, timestamp)
    known = {"service": settings.service, "version": settings.version, "timestamp": timestamp}
    return Compact({name: known[name] for name in health.live_fields})
