"""What is done at each stage of a worker's life: in its main process, and in those that it forks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from belvedere import failures
from belvedere.asgi import Lifespan
from belvedere.asgi.lifespan import Hook
from belvedere.health import Health
from belvedere.logs import Logs
from belvedere.metrics import Metrics
from belvedere.metrics.workers import lead, workers
from belvedere.parts import Part
from belvedere.release import own_version
from belvedere.tracing import Otlp, Tracing
from belvedere.wiring.life import Life
from belvedere.wiring.report import Report
from belvedere.wiring.worker.loop import SideLoop
from belvedere.wiring.worker.printed import Printed

PUBLISH = 5.0
"""Seconds after which a process that runs tasks tells the others how it does, with the end of a task."""
_LOOK = 1.0
"""Seconds between two looks at the file of levels there."""
_STAGE = 10.0
"""Seconds that a stage may keep a worker waiting for the loop beside it."""


class WorkerLife:
    """Follows one worker, told by `Stages`.

    Args:
        life: logs the stages.
        loop: runs what has to be awaited.
        lifespan: has what parts want done.
        parts: that are installed, now or later.
        report: of what is on.
    """

    def __init__(
        self,
        life: Life,
        loop: SideLoop,
        lifespan: Lifespan,
        parts: Sequence[Part],
        report: Callable[[], Report],
        *,
        logs: Logs | None,
        metrics: Metrics | None,
        health: Health | None,
        tracing: Tracing,
        otlp: Otlp,
    ) -> None:
        self.takes_tasks = False
        self.undo: list[Callable[[], None]] = []
        self._life = life
        self._loop = loop
        self._lifespan = lifespan
        self._parts = parts
        self._report = report
        self._logs = logs
        self._metrics = metrics
        self._health = health
        self._tracing = tracing
        self._otlp = otlp
        self._running = False
        self._published = self._looked = 0.0
        self._pid = os.getpid()

    def configure(self) -> None:
        if self._logs is not None:
            self._logs.reassert()
            printed = Printed()
            printed.take()
            self.undo.append(printed.give_back)

    def found(self, worker: Any) -> None:
        if self._logs is not None:
            # Its banner is no line; what it tells, the line about the start does.
            worker.quiet = True

    def made(self, *, forks: bool) -> None:
        self._pid = os.getpid()
        if forks:
            lead(os.getpid())
            self.undo.append(lambda: lead(None))
        self._join()

    def started(self) -> None:
        if self._running:
            return
        self._running = True
        if self._health is not None:
            self._health.started = self._health.draining = False
        self._loop.start()
        self._run(self._life.starting)
        if self._metrics is not None:
            self._metrics.own.tell(
                own_version(), [name for name, row in self._report().items() if row["state"] == "on"]
            )
            self._run(self._metrics.start)
            self._run(self._open_port)
        for hook in self._lifespan.started:
            self._run(hook)
        if self._health is not None:
            self._run(self._health.start)
        self._run(self._otlp.start)

    def ready(self) -> None:
        self.takes_tasks = True
        self._run(self._life.started)

    def closing(self) -> None:
        if self._health is not None:
            self._health.draining = True

    def stopped(self) -> None:
        if not self._running:
            return
        self._running = self.takes_tasks = False
        for hook in self._lifespan.stopping:
            self._run(hook)
        self._run(self._otlp.stop)
        if self._health is not None:
            self._run(self._health.stop)
        if self._metrics is not None:
            self._metrics.close_port()
            self._run(self._metrics.stop)
            self._run(self._metrics.leave)
        self._run(self._otlp.flush)
        self._run(self._life.stopped)
        self._run(self._tracing.flush)
        self._loop.stop()

    # In the processes that it forks.

    def child_began(self) -> None:
        if os.getpid() == self._pid:
            return  # A worker that forks nothing tells this as well.
        self._running = False
        self._loop.forked()
        for part in self._parts:
            if (forked := getattr(part, "forked", None)) is not None:
                forked()
        if self._metrics is not None:
            self._metrics.forked()
        lead(os.getppid())
        self._join()

    def child_ends(self) -> None:
        if os.getpid() == self._pid:
            return
        self._tracing.take_leave()
        self._otlp.take_leave()
        if self._metrics is not None:
            self._metrics.publish()
            workers.leave(self._metrics)
        if self._logs is not None:
            self._logs.flush()

    def task_ended(self) -> None:
        """Do what else nobody does in a process without a loop: publish what is not counted where others see it, and
        look at the file of levels."""
        now = time.monotonic()
        if self._metrics is not None and not self._running and now - self._published > PUBLISH:
            self._published = now
            try:
                self._metrics.publish()
            except Exception as error:
                failures.contain("metrics", error)
        level_file = None if self._logs is None or self._running else self._logs.level_file
        if level_file is not None and now - self._looked > _LOOK:
            self._looked = now
            level_file.look()

    def _join(self) -> None:
        if self._metrics is not None:
            self._metrics.join(["celery"])

    async def _open_port(self) -> None:
        if self._metrics is not None:
            self._metrics.open_port()

    def _run(self, hook: Hook) -> None:
        async def awaited() -> None:
            await hook()

        self._loop.run(awaited, _STAGE)
