"""What `observe` puts around a Celery application: in the worker, and in each process that it forks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from prometheus_client.registry import CollectorRegistry

from belvedere.asgi import Lifespan, Plan
from belvedere.integrations._celery.figures import Figures
from belvedere.integrations._celery.tasks import tasks_of
from belvedere.metrics import Metrics
from belvedere.parts import Part
from belvedere.settings import Settings
from belvedere.wiring.catalogue import worker_catalogue
from belvedere.wiring.life import Life
from belvedere.wiring.observability import Observability
from belvedere.wiring.report import Report, describe_worker
from belvedere.wiring.worker.host import WorkerHost, refuse
from belvedere.wiring.worker.life import WorkerLife
from belvedere.wiring.worker.loop import SideLoop
from belvedere.wiring.worker.probes import probe_handlers
from belvedere.wiring.worker.stages import Stages

observed: dict[Any, WorkerObservability] = {}
"""By application of Celery."""
_REQUESTS_ONLY = (("belvedere.interactions", "Interactions"), ("belvedere.ratelimit", "RateLimiter"))


class WorkerObservability(Observability):
    """What `observe` put around a worker: to look at, to add to, to take off again."""

    def __init__(self, app: Any, settings: Settings, registry: CollectorRegistry) -> None:
        self._app = app
        self._undo: list[Callable[[], None]] = []
        self._parts: list[Part] = []
        self.settings = settings = settings.named(app.main or "celery", "")
        self._lifespan = Lifespan()
        plan = Plan(settings.requests.header)
        self._begin(settings, plan)
        self._loop = SideLoop()
        self._undo.append(self._loop.stop)
        self._metrics = self._own_metrics(registry)
        self._host: WorkerHost = WorkerHost(
            settings, plan, self._lifespan, self._metrics, self._health, tracing=self._tracing
        )
        self._life = WorkerLife(
            Life(app, settings, self._logs, self._health, self.report),
            self._loop,
            self._lifespan,
            self._parts,
            self.report,
            logs=self._logs,
            metrics=self._metrics,
            health=self._health,
            tracing=self._tracing,
            otlp=self._otlp,
        )
        self._install()
        observed[app] = self

    # To look at, to add to, to take off again.

    def add(self, part: Part) -> None:
        for module, name in _REQUESTS_ONLY:
            kind = getattr(sys.modules.get(module), name, None)
            if kind is not None and isinstance(part, kind):
                refuse(part)
        self._host.installing = part
        try:
            super().add(part)
        finally:
            self._host.installing = None

    def report(self) -> Report:
        return describe_worker(
            self.settings,
            logs=self._logs,
            metrics=self._metrics,
            health=self._health,
            tracing=self._tracing,
            otlp=self._otlp,
            parts=self._parts,
        )

    def catalogue(self) -> dict[str, Any]:
        return worker_catalogue(self.settings, metrics=self._metrics, health=self._health, report=self.report())

    def remove(self) -> None:
        self._remove_parts()
        for undo in [*self._life.undo, *reversed(self._undo)]:
            undo()
        self._life.undo.clear()
        self._undo.clear()
        if observed.get(self._app) is self:
            del observed[self._app]

    def _own_metrics(self, registry: CollectorRegistry) -> Metrics | None:
        metrics, health = self._make_metrics(registry, requests_too=False), self.settings.health
        if metrics is not None and self._health is not None and health is not None:
            metrics.further |= probe_handlers(self._health, health, self._loop, lambda: self._life.takes_tasks)
        return metrics

    def _install(self) -> None:
        self._take_output()
        if self._health is not None:
            self._undo.append(self._stop_checks)
        figures, tasks = Figures(self._app, self._host), tasks_of(self._app)
        tasks.add(figures)
        tasks.after.append(self._life.task_ended)
        self._undo += [lambda: tasks.after.remove(self._life.task_ended), lambda: tasks.discard(figures)]
        stages = Stages(self._app, self._life)
        stages.follow()
        self._undo.append(stages.leave)
