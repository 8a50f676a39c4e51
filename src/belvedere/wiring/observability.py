"""The object that `observe` returns: the features of one application, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client.registry import CollectorRegistry

from belvedere import failures
from belvedere.asgi import Attachment, Lifespan, Plan
from belvedere.asgi.native_telemetry import given_provider, leave_out, switch_off
from belvedere.asgi.routes import templates
from belvedere.asgi.server import port_to_come
from belvedere.context import RequestContext
from belvedere.conventions import OWN_LOGGER
from belvedere.health import Drain, Health
from belvedere.logs import Logs, get_logger, mark_reported
from belvedere.metrics import Metrics
from belvedere.parts import Part
from belvedere.problems import Problems
from belvedere.release import own_version
from belvedere.settings import Settings
from belvedere.tracing import Otlp, Tracing
from belvedere.wiring.catalogue import catalogue
from belvedere.wiring.host import AppHost
from belvedere.wiring.life import Life
from belvedere.wiring.report import Report, describe
from belvedere.wiring.requests import plan_requests

STATE = "belvedere"
"""Where the application's state has it."""


class Observability:
    """What `observe` put around one application: to look at, to add to, to take off again."""

    def __init__(self, app: Any, settings: Settings, registry: CollectorRegistry) -> None:
        self._app = app
        self._undo: list[Callable[[], None]] = []
        self._parts: list[Part] = []
        self.settings = settings.named(getattr(app, "title", type(app).__name__), getattr(app, "version", ""))
        settings = self.settings
        self._plan = plan = Plan(settings.requests.header)
        self._lifespan = plan.lifespan = Lifespan()
        self._begin(settings, plan, given_provider(app))
        self._drain = Drain(settings, self._health, self._log, self._flush) if self._health else None
        self._problems = Problems(settings, self._log)
        self._metrics = self._make_metrics(registry)
        self._host = AppHost(settings, plan, self._lifespan, self._metrics, self._health, tracing=self._tracing)
        self._plan_requests()
        self._plan_observers()
        self._plan_lifespan()
        self._take_output()
        if self._health is not None:
            # Without a lifespan nobody will ever say that it has started.
            self._health.started = True
            self._undo.append(self._stop_checks)
        if self._drain is not None:
            self._undo.append(self._drain.remove)
        self._attachment = Attachment(app, plan, self._problems.handlers, self._adopt)
        self._undo.append(self._attachment.remove)
        plan.on_build = self._serve
        if self._attachment.built:
            self._serve()
        setattr(app.state, STATE, self)

    @property
    def ready(self) -> bool:
        """Whether the instance takes traffic; set to `False`, readiness answers 503 until it is `True` again."""
        return self._health is None or self._health.ready

    @ready.setter
    def ready(self, value: bool) -> None:
        if self._health is not None:
            self._health.ready = value

    def add(self, part: Part) -> None:
        """Install one more part: a check, an objective, an integration or an extension of your own.

        Raises:
            TypeError: it is no part.
        """
        if not isinstance(part, Part):
            raise TypeError(
                f"{part!r} is no part: a part has install(host) and uninstall(), "
                "as belvedere.Check, belvedere.SLO and the integrations have"
            )
        part.install(self._host)
        self._parts.append(part)

    def report(self) -> Report:
        """Return every feature with its state, `on` or `off`, and why."""
        self._find_yielded()
        return describe(
            self.settings,
            self._app,
            logs=self._logs,
            metrics=self._metrics,
            health=self._health,
            drain=self._drain,
            attachment=self._attachment,
            tracing=self._tracing,
            otlp=self._otlp,
            yielded=self._yielded,
            parts=self._parts,
        )

    def catalogue(self) -> dict[str, Any]:
        """Return what the application shows to the world, as plain data that JSON can hold.

        Metrics with labels and buckets, routes, probes, checks, SLOs and features: what dashboards and rules are made
        from.
        """
        return catalogue(
            self.settings,
            self._app,
            metrics=self._metrics,
            health=self._health,
            objectives=self._host.objectives,
            report=self.report(),
        )

    def remove(self) -> None:
        """Take everything off again: application, logging and framework are as they were before."""
        self._remove_parts()
        while self._undo:
            self._undo.pop()()
        if getattr(self._app.state, STATE, None) is self:
            delattr(self._app.state, STATE)

    # What a worker that runs tasks has as well.

    def _begin(self, settings: Settings, plan: Plan, provider: Any = None) -> None:
        """Begin what every application has: traces, exports, logs, checks."""
        # First of all, as it may lack what it needs: nothing is to be taken back then.
        self._tracing = Tracing(settings, plan, provider)
        self._undo.append(self._tracing.remove)
        try:
            self._otlp = Otlp(settings, self._tracing.redactor)
        except ImportError:
            self._tracing.remove()
            raise
        self._undo.append(self._otlp.remove)
        self._logs = Logs(settings) if settings.logs else None
        self._log = get_logger(OWN_LOGGER) if self._logs else None
        self._health = Health(settings, self._log, context=self._tracing.untraced()) if settings.health else None

    def _make_metrics(self, registry: CollectorRegistry, *, requests_too: bool = True) -> Metrics | None:
        """Return the metrics, which tell of all the rest, unless they are off."""
        settings = self.settings
        if settings.metrics is None:
            return None
        metrics = Metrics(
            settings.metrics,
            settings.requests,
            registry,
            self._dropped,
            logger=self._log,
            client=settings.logs.client if settings.logs else None,
            service=settings.service,
            requests_too=requests_too,
        )
        metrics.own.spans_unsent = self._tracing.dropped
        metrics.own.records_unsent = self._otlp.records_dropped
        self._otlp.collect, self._otlp.resign = metrics.pushed, metrics.push_no_more
        if self._health is not None:
            self._health.on_result = metrics.own.check_result
        return metrics

    def _take_output(self) -> None:
        """Have logging write through us, and take everything off again at the end."""
        if self._logs is not None:
            self._logs.install()
            self._undo.append(self._logs.remove)
            if (tap := self._otlp.tap) is not None:
                self._undo.append(self._logs.tell(tap))
        if self._metrics is not None:
            self._undo.append(self._metrics.close)

    def _remove_parts(self) -> None:
        while self._parts:
            try:
                self._parts.pop().uninstall()
            except Exception as error:  # what remains is taken off all the same
                failures.contain("parts", error)

    # What the pass works after.

    def _plan_requests(self) -> None:
        settings = self.settings
        self._plan.hide = self._tracing.redactor.value
        self._served: dict[str, Any] = dict(self._health.served()) if self._health else {}
        if self._metrics is not None and settings.metrics is not None and settings.metrics.port is None:
            self._served[settings.metrics.path] = self._metrics.endpoint
        self._yielded: list[str] = []
        plan_requests(self._plan, settings, self._served)

    def _plan_observers(self) -> None:
        observers: list[Any] = []
        if self._tracing.spans is not None:
            # First: the others show its ids.
            observers.append(self._tracing.spans)
        if self._metrics is not None:
            observers.append(self._metrics.http)
        if self._logs is not None and self._logs.access is not None:
            observers.append(self._logs.access)
        self._plan.observe(observers)
        self._plan.answer_failure = self._problems.answer_failure
        self._plan.failed = self._failed

    def _plan_lifespan(self) -> None:
        life = Life(self._app, self.settings, self._logs, self._health, self.report)
        self._lifespan.before += [self._joining, life.starting]
        self._lifespan.failed = life.failed
        self._undo.append(life.removed)
        if self._metrics is not None:
            self._lifespan.started += [self._metrics.start, self._open_port]
            self._lifespan.stopping += [self._close_port, self._metrics.stop]
            self._lifespan.stopped.append(self._metrics.leave)
        if self._health is not None:
            self._lifespan.started.append(self._health.start)
            self._lifespan.stopping.append(self._health.stop)
        if self._drain is not None:
            self._lifespan.started.append(self._drain.start)
            self._lifespan.stopping.append(self._drain.stop)
        self._lifespan.started.append(life.started)
        if self._metrics is not None:
            self._lifespan.started.append(self._otlp.start)
            self._lifespan.stopping.append(self._otlp.stop)
        # From the last on; once more for the last line.
        self._lifespan.stopped += [self._otlp.flush, life.stopped, self._flush_exports]

    def _find_yielded(self) -> None:
        """Find out for which paths the application has a route of its own: there, ours is not served."""
        own = {path for path, methods, _ in templates(self._app) if not methods or "GET" in methods}
        self._yielded = [path for path in self._served if path in own or f"{path}/{{path}}" in own]

    def _serve(self) -> None:
        """Serve what the application has no route of its own for; run when its routes are known."""
        self._join()
        self._tracing.stand_aside(self._attachment.spans_by or "")
        self._tracing.settle()
        report = self.report()
        self._plan.served = {path: app for path, app in self._served.items() if path not in self._yielded}
        if self._metrics is not None:
            on = [name for name, row in report.items() if row["state"] == "on"]
            self._metrics.own.tell(own_version(), on)
            self._open_port_without_lifespan()

    async def _flush_exports(self) -> None:
        await asyncio.gather(self._tracing.flush(), self._otlp.flush())

    async def _open_port(self) -> None:
        if self._metrics is not None:
            self._metrics.open_port(port_to_come())

    async def _close_port(self) -> None:
        if self._metrics is not None:
            self._metrics.close_port()

    def _open_port_without_lifespan(self) -> None:
        """Have the port open with the first request where the server runs no lifespan: earlier there is no loop."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # Nobody serves yet.

        def open_port() -> None:
            # By then a lifespan, if this is the beginning of one, has begun.
            if self._plan.active and self._metrics is not None and not self._lifespan.began:
                self._metrics.open_port()

        loop.call_soon(open_port)

    async def _joining(self) -> None:
        self._join()

    def _join(self) -> None:
        """Be one of the workers of the service, if this process is one; a server may have forked it only now."""
        if self._metrics is not None:
            self._metrics.join((path, sorted(methods)) for path, methods, _ in templates(self._app))

    def _stop_checks(self) -> None:
        if self._health is not None:
            self._health.cancel()

    def _adopt(self, app: Any) -> Callable[[], None]:
        """Prepare an application that requests reach: the observed one, and each that is mounted below it."""
        ours = {"metrics": self._metrics, "logs": self._logs, "spans": self._tracing.makes_spans or None}
        native = switch_off(app, **{signal: feature is not None for signal, feature in ours.items()})
        # What a mounted application is asked has passed the observed one.
        left_out = leave_out(app, self._plan.leaves_out) if app is self._app else None
        document = self._problems.document(app)

        def undo() -> None:
            native()
            if left_out is not None:
                left_out()
            document()

        return undo

    # What happens while it runs.

    def _failed(self, request: RequestContext, error: BaseException) -> None:
        if self._log is not None:
            self._problems.failed(request, error)
            mark_reported(error)

    def _dropped(self) -> int:
        return self._logs.dropped if self._logs else 0

    def _flush(self) -> None:
        if self._logs is not None:
            self._logs.flush()
