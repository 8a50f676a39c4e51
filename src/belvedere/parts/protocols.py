"""What a part is, and what it may ask of the application that it is installed in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from belvedere.context import RequestContext
from belvedere.parts.check import Check
from belvedere.parts.objective import SLO
from belvedere.settings import Settings


class Observer(Protocol):
    """A feature that watches requests: called once when one begins and once when its last byte has been sent.

    Both are called on the event loop, must not block, and may raise: what they raise is counted and kept from the
    request.
    """

    feature: str

    def begin(self, request: RequestContext) -> None: ...

    def finish(self, request: RequestContext) -> None: ...


class Closer(Protocol):
    """A feature that has to know of each HTTP request before the client can know that it was answered.

    Called once, on the event loop: before the byte that completes the answer is handed to the server, or when a
    request without one is over. The status is known by then, the duration is not. It must not block, and may raise:
    what it raises is counted and kept from the request.
    """

    feature: str

    def closing(self, request: RequestContext) -> None: ...


class Host(Protocol):
    """What a part sees of the observed application."""

    @property
    def settings(self) -> Settings: ...

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
        """Return a metric of this application, made at the first call; it is bounded and in the catalogue.

        `combine` says how the gauges of several workers become one.
        """

    def ratio(self, name: str, documentation: str, labels: Sequence[str], part: str, rest: str) -> None:
        """Have a gauge show which share of what two counters count is the first's, over all workers.

        `part` and `rest` are counters of this application, with the same labels; where both are 0 there is no series.
        """

    def check(self, check: Check) -> None:
        """Add a health check."""

    def objective(self, objective: SLO) -> None:
        """Add an objective: to the catalogue, and its threshold as an exact bucket."""

    def observer(self, observer: Observer) -> None:
        """Let `observer` watch every request from now on."""

    def closer(self, closer: Closer) -> None:
        """Let `closer` hear of every HTTP request from now on, before its answer is complete."""

    def logger(self, name: str) -> Any:
        """Return a logger of that name, in the same pipeline as every other."""

    def tracer_provider(self) -> Any:
        """Return the OpenTelemetry provider that spans of a part are made with, `None` while tracing is off."""

    def on_start(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have `call` run when the application has started."""

    def on_stop(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have `call` run when the application is about to stop, while what it opened is still there."""


@runtime_checkable
class Part(Protocol):
    """Something that `observe` and `add` take: it is installed in a host and taken out again.

    One with texts `feature` and `why` has a row of its own in the report, by that name and with that reason; it is
    `on` unless its `state` is `"off"`.
    """

    def install(self, host: Host) -> None: ...

    def uninstall(self) -> None: ...
