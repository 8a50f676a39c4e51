"""What parts see of the application: the features, behind the `Host` protocol."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import prometheus_client

from belvedere.asgi import Lifespan, Plan
from belvedere.health import Health
from belvedere.logs import get_logger
from belvedere.metrics import Metrics
from belvedere.parts import SLO, Check, Closer, Observer
from belvedere.settings import Settings
from belvedere.tracing import Tracing

_METRICS: dict[str, Any] = {
    "counter": prometheus_client.Counter,
    "gauge": prometheus_client.Gauge,
    "histogram": prometheus_client.Histogram,
}


class AppHost:
    """The host of one application; a feature that is off takes what it is given and does nothing with it."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        lifespan: Lifespan,
        metrics: Metrics | None,
        health: Health | None,
        *,
        tracing: Tracing,
    ) -> None:
        self.settings = settings
        self.objectives: list[SLO] = []
        self._plan = plan
        self._lifespan = lifespan
        self._metrics = metrics
        self._health = health
        self._tracing = tracing

    def metric(
        self,
        kind: Literal["counter", "gauge", "histogram"],
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] | None = None,
        combine: Literal["sum", "max", "min", "latest"] = "sum",
    ) -> Any:
        if self._metrics is not None:
            return self._metrics.metric(kind, name, documentation, labels, buckets=buckets, combine=combine)
        options = {"buckets": buckets} if buckets else {}
        return _METRICS[kind](name, documentation, labels, registry=None, **options)

    def ratio(self, name: str, documentation: str, labels: Sequence[str], part: str, rest: str) -> None:
        if self._metrics is not None:
            self._metrics.ratio(name, documentation, labels, part, rest)

    def check(self, check: Check) -> None:
        if self._health is not None:
            self._health.add(check)

    def objective(self, objective: SLO) -> None:
        if any(known.name == objective.name for known in self.objectives):
            raise ValueError(f"there is an SLO {objective.name!r} already: give each its own name")
        self.objectives.append(objective)
        if self._metrics is not None and objective.latency is not None:
            self._metrics.http.add_bound(objective.latency)

    def observer(self, observer: Observer) -> None:
        calls = (getattr(observer, name, None) for name in ("begin", "finish"))
        if not isinstance(getattr(observer, "feature", None), str) or not all(map(callable, calls)):
            raise TypeError(f"{observer!r} is no observer: it needs feature (a name), begin(request), finish(request)")
        self._plan.observe([*self._plan.observers, observer])

    def closer(self, closer: Closer) -> None:
        self._plan.closers = (*self._plan.closers, closer)

    def logger(self, name: str) -> Any:
        return get_logger(name)

    def tracer_provider(self) -> Any:
        return self._tracing.provider

    def on_start(self, call: Callable[[], Awaitable[None]]) -> None:
        self._lifespan.started.append(call)

    def on_stop(self, call: Callable[[], Awaitable[None]]) -> None:
        self._lifespan.stopping.append(call)
