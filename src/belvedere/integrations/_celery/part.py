"""Celery: ids and traces that cross into tasks, what becomes of tasks, queues, and whether workers answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from belvedere.conventions import CELERY_QUEUE, CELERY_WORKERS
from belvedere.integrations.extras import require
from belvedere.parts import Check, Host, Probe

if TYPE_CHECKING:
    from belvedere.integrations._celery.asking import Asking, Found
    from belvedere.integrations._celery.figures import Figures
    from belvedere.integrations._celery.tasks import Tasks

INTERVAL = 15.0
"""Seconds between two looks at queues and workers where no other interval is set: that of most scrapers."""
_TIMEOUT = 2.0


def celery(
    celery_app: Any,
    *,
    name: str = "celery",
    critical: bool = False,
    probes: Iterable[Probe] = ("detailed",),
    timeout: float | None = None,
    queues: Iterable[str] | None = None,
) -> Celery:
    """Return a part that watches an application of Celery, in the service that sends tasks.

        belvedere.observe(app, integrations.celery(celery_app))

    A worker observes its application itself: `belvedere.observe(celery_app)`.

    Args:
        celery_app: whose tasks are seen, wherever they are sent or run in this process.
        name: of the check; two applications need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.
        queues: whose length is shown, besides those that workers take from; by default those that are configured.

    Raises:
        ImportError: Celery is not installed.
        TypeError: it is no application of Celery.
    """
    require("celery", "celery", "belvedere[celery]")
    if isinstance(queues, str):
        queues = (queues,)
    options: dict[str, Any] = {"critical": critical, "probes": probes, "timeout": timeout}
    return Celery(application(celery_app), name, None if queues is None else tuple(queues), options)


def application(given: Any) -> Any:
    """Return the application itself, where `given` may stand for it as `current_app` does.

    Raises:
        TypeError: it is none.
    """
    from celery import Celery as Application

    if not isinstance(given, Application):
        raise TypeError(f"integrations.celery: {type(given).__name__} is no application of Celery")
    found = getattr(given, "_get_current_object", None)
    return given if found is None else found()


class Celery:
    """What `celery` returns."""

    def __init__(self, app: Any, name: str, queues: Sequence[str] | None, options: dict[str, Any]) -> None:
        self.feature = name
        self.app = app
        self._queues = queues
        self._timeout = options["timeout"]
        # Asked once it is installed: by then its time-out is known.
        self._check = Check(name, self._ask, message="No Celery workers available", **options)
        self._asking: Asking | None = None
        self._figures: Figures | None = None
        self._tasks: Tasks | None = None
        self._every = INTERVAL

    @property
    def why(self) -> str:
        """What the report says; nothing of the broker's URL."""
        queues = "those that are configured" if self._queues is None else ", ".join(self._queues) or "none of its own"
        return f"the application {self.app.main or 'of Celery'}, queues: {queues}"

    def install(self, host: Host) -> None:
        """Check, count, and send ids along from now on."""
        from belvedere.integrations._celery.asking import Asking
        from belvedere.integrations._celery.figures import Figures
        from belvedere.integrations._celery.tasks import tasks_of

        if self._figures is not None:
            raise ValueError("this part is installed already: make one for each application")
        figures = Figures(self.app, host)
        self._gauges = [
            host.metric("gauge", metric.name, metric.help, metric.labels, combine="max")
            for metric in (CELERY_QUEUE, CELERY_WORKERS)
        ]
        # What may be refused comes first: then there is nothing to take back.
        host.check(self._check)
        health = host.settings.health
        self._every = (health.interval if health is not None else 0) or INTERVAL
        patience = self._timeout or (_TIMEOUT if health is None else health.timeout)
        self._asking = Asking(self.app, self._queues, patience / 3, self._show)
        self._figures, self._tasks = figures, tasks_of(self.app)
        self._tasks.add(figures)
        host.on_start(self._start)
        host.on_stop(self._stop)

    def uninstall(self) -> None:
        """Leave the application as it was."""
        if self._asking is not None:
            self._asking.stop()
        if self._tasks is not None and self._figures is not None:
            self._tasks.discard(self._figures)
        self._asking = self._figures = self._tasks = None

    async def _start(self) -> None:
        if self._asking is not None:
            self._asking.start(self._every)

    async def _stop(self) -> None:
        if self._asking is not None:
            self._asking.stop()

    async def _ask(self) -> dict[str, Any]:
        return {} if self._asking is None else await self._asking.ask()

    def _show(self, found: Found | None) -> None:
        """Show what was found; of a broker that cannot be asked nothing is known, and nothing is shown."""
        lengths, workers = self._gauges
        for gauge, now in ((lengths, found.lengths if found else {}), (workers, (found and found.workers) or {})):
            for key in set(getattr(gauge, "_metrics", ())) - {(queue,) for queue in now}:
                gauge.remove(*key)
            for queue, value in now.items():
                gauge.labels(queue).set(value)
