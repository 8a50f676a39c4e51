"""All metrics of one application together: what is counted, who shares it, and where it is served."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from prometheus_client.registry import REGISTRY, CollectorRegistry

from belvedere import failures
from belvedere.metrics.cardinality import folded
from belvedere.metrics.declared import (
    Combine,
    Counter,
    Declaration,
    Declarations,
    Gauge,
    Histogram,
    declarations,
)
from belvedere.metrics.endpoint import MetricsEndpoint
from belvedere.metrics.exposition import hidden, render
from belvedere.metrics.families import Family
from belvedere.metrics.gate import Gate
from belvedere.metrics.http import HttpMetrics
from belvedere.metrics.instances import instances
from belvedere.metrics.own import OwnMetrics
from belvedere.metrics.runtime import Beat, LoopLag
from belvedere.metrics.scrapes import Reply, Scope, Scrapes, UnreadableError
from belvedere.metrics.workers import Unshared, workers
from belvedere.metrics.workers.registries import collectors
from belvedere.settings import MetricSettings, RequestSettings

if TYPE_CHECKING:
    from belvedere.metrics.port import Claim, Handler, Port

_LOCK = type(threading.Lock())
_READ_TIMEOUT = 2.0
"""Seconds that the `read` of a gauge may take before its last value is shown."""
_REFRESH_TIMEOUT = 2.5
"""Seconds that a scrape on the port of its own waits for the event loop; a loop that is stuck is worth a scrape."""


class Metrics:
    """All metrics of one application.

    Args:
        settings: of metrics.
        requests: whose trusted proxies tell a scraper's own address.
        registry: what is served besides Belvedere's own: prometheus-client's default one unless told otherwise.
        dropped: returns how many log lines were dropped so far.
        logger: gets what is told of scrapers and of the port; `None`: no events.
        client: how a scraper's address is shown there.
        service: the service's name.
        requests_too: whether there are requests to be counted; a worker has none.
    """

    def __init__(
        self,
        settings: MetricSettings,
        requests: RequestSettings,
        registry: CollectorRegistry = REGISTRY,
        dropped: Callable[[], int] = lambda: 0,
        *,
        logger: Any = None,
        client: Literal["full", "masked"] | None = "full",
        service: str = "",
        requests_too: bool = True,
    ) -> None:
        self.service = service
        self._requests_too = requests_too
        # Workers make their applications in the same order.
        taken = {other.owner for other in instances}
        self.owner: str = next(owner for number in count() if (owner := f"{service}#{number}") not in taken)
        self.sharing = ""
        self._left = False
        self.http = HttpMetrics(settings, folded)
        self.lag = LoopLag()
        gate = Gate(settings, requests.trusted_proxies, logger, client=client)
        self.own = OwnMetrics(folded, lambda: self.lag.seconds, dropped, gate.refused)
        self.declared = Declarations(CollectorRegistry(), self.owner)
        self._scrapes = Scrapes(gate, self.text)
        self.endpoint = MetricsEndpoint(self._scrapes, self.refresh)
        self._settings = settings
        self.further: dict[str, Handler] = {}
        """What else is served on the port of its own, by path; before that is opened."""
        self.port = self._own_port(settings, logger)
        self._registries = [self.declared.registry, registry]
        if registry is not REGISTRY:
            self._registries.append(declarations.registry)
        self.beat = Beat(self._beat)
        self._pushing: Claim | None = None
        instances.add(self)

    def join(self, routes: Iterable[object]) -> None:
        """Be one of the workers of the service from now on, if this process is; `routes` tell services apart."""
        self.sharing = workers.join(self, self.service, routes)
        self._left = False

    async def leave(self) -> None:
        """Leave what was counted to the other workers, as the application has stopped."""
        self._left = workers.folder is not None
        workers.leave(self)

    def look_up_again(self) -> None:
        """Forget where the cells of series lie."""
        self.http.look_up_again()

    def forked(self) -> None:
        """Begin anew in a process that was forked: what has been counted is its parent's, whose locks are not here."""
        for family in self.families:
            family.clear()
        self.own.forked()
        for registry in [*self._registries, declarations.registry]:
            for holder in (registry, *collectors(registry)):
                if (held := getattr(holder, "_lock", None)) is not None:
                    holder._lock = threading.Lock() if isinstance(held, _LOCK) else threading.RLock()
        self.look_up_again()

    def publish(self) -> None:
        """Tell the other workers how this process does, where no event loop runs that would do so every second."""
        self.own.refresh_from_thread()
        workers.publish()

    def close(self) -> None:
        """Let go of what belongs to the process."""
        self.beat.cancel()
        self.push_no_more()
        workers.discard(self)
        instances.discard(self)
        self.close_port()
        self.endpoint.close()

    def open_port(self, service_port: int | None = None) -> None:
        """Listen on the port of its own, if there is to be one; called on the event loop, whose metrics it serves."""
        if self.port is not None:
            self._on_loop.loop = asyncio.get_running_loop()
            self.port.start(service_port=service_port)

    def close_port(self) -> None:
        """Listen there no longer."""
        if self.port is not None:
            self._on_loop.loop = None
            self.port.close()

    @property
    def families(self) -> list[Family]:
        return [*(self.http.families if self._requests_too else ()), *self.own.families]

    @property
    def registries(self) -> list[CollectorRegistry]:
        """The registries that are served besides; a name that a family has is left out of them."""
        return list(self._registries)

    def metric(
        self,
        kind: Literal["counter", "gauge", "histogram"],
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float] | None = None,
        combine: Combine = "sum",
    ) -> Any:
        """Return a metric of this application alone, made at the first call."""
        make: type[Any] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[kind]
        return self.declared.declare(
            make,
            kind,
            name,
            documentation,
            labels,
            max_series=self._settings.max_series,
            buckets=buckets or (),
            combine=combine,
        )

    def ratio(self, name: str, documentation: str, labels: Sequence[str], part: str, rest: str) -> None:
        """Have a gauge show, at each scrape, which share of what two counters count is the first's.

        Over all workers: the ratios of each could not be put together.
        """

        async def read() -> dict[tuple[str, ...], float]:
            found: list[Mapping[tuple[str, ...], float]] = []
            await self.endpoint.in_thread(lambda: found.extend(self._totals(part, rest)))
            parts, rests = found
            both = {labels: parts.get(labels, 0.0) + rests.get(labels, 0.0) for labels in {*parts, *rests}}
            return {labels: parts.get(labels, 0.0) / total for labels, total in both.items() if total}

        series = self._settings.max_series
        self.declared.declare(Gauge, "gauge", name, documentation, labels, max_series=series, read=read)

    def _totals(self, *names: str) -> list[Mapping[tuple[str, ...], float]]:
        """Return what counters of this application have counted, in all workers."""
        families = workers.families(self)
        if families is None:
            return [self.declared.totals(name) for name in names]
        by_name = {name: family for family in families for name in family.names}
        return [by_name[name].totals() if name in by_name else {} for name in names]

    async def refresh(self) -> None:
        """Bring everything up to date that has to be asked on the event loop."""
        await asyncio.gather(*(_read(declared) for declared in self._all_declared() if declared.read is not None))
        # Afterwards, as reading may have failed.
        self.own.refresh()

    def text(self, openmetrics: bool = False) -> bytes:
        """Return all metrics as text, as they are now, of all workers of the service.

        Raises:
            UnreadableError: what the others count cannot be read; to show this worker alone would look like a restart.
        """
        try:
            families = workers.families(self)
        except Exception as error:
            failures.contain("metrics", error)
            raise UnreadableError from error
        if families is None and self._left:
            # A scrape that was begun before: what this worker has counted is the others' now, and 0 here.
            raise UnreadableError
        if families is None:
            return render(self.families, self._registries, openmetrics=openmetrics)
        return render(families, map(Unshared, self._registries), openmetrics=openmetrics)

    async def start(self) -> None:
        """Begin to look at how the event loop does, and to tell the other workers, if there are any."""
        await self.lag.start()
        workers.runs(self)
        if self.sharing:
            await self.beat.start()

    async def stop(self) -> None:
        await self.beat.stop()
        await self.lag.stop()

    async def _beat(self) -> None:
        self.own.refresh()
        await self.endpoint.in_thread(workers.publish)

    async def pushed(self) -> bytes | None:
        """Return all metrics as text for whoever exports them; `None` where another worker of the service does."""
        from belvedere.metrics.port.claim import Claim

        if self._pushing is None:
            self._pushing = Claim(f"otlp-{crc32(self.owner.encode()):x}", lambda: workers.folder)
        if not self._pushing():
            return None
        await self.refresh()
        found: list[bytes] = []
        await self.endpoint.in_thread(lambda: found.append(self.text()))
        return found[0]

    def push_no_more(self) -> None:
        """Leave it to another worker."""
        if self._pushing is not None:
            self._pushing.release()
            self._pushing = None

    def hidden(self) -> list[str]:
        """Return names of the application's own metrics that cannot be served because Belvedere's have them."""
        return hidden(self.families, self.declared.registry, self._registries)

    def describe(self) -> list[dict[str, Any]]:
        """Return every metric as data: name, type, labels and buckets."""
        metrics: list[dict[str, Any]] = [
            {
                "name": name,
                "type": family.kind,
                "help": family.documentation,
                "labels": list(family.label_names),
                "buckets": list(family.bounds),
                "declared": False,
            }
            for family in self.families
            for name in family.names
        ]
        metrics += [
            {
                "name": declared.name,
                "type": declared.kind,
                "help": declared.documentation,
                "labels": list(declared.labels),
                "buckets": _bounds(declared),
                "declared": True,
            }
            for declared in self._all_declared()
        ]
        return metrics

    def _own_port(self, settings: MetricSettings, logger: Any) -> Port | None:
        if settings.port is None:
            return None
        # Only here, as most do without: an HTTP server has much to import.
        from belvedere.metrics.port import Claim, OnLoop, Port

        self._on_loop = OnLoop()
        self.further[settings.path] = self._scraped
        return Port(settings.port, self.further, Claim(settings.port, lambda: workers.folder), logger)

    def _scraped(self, scope: Scope) -> Reply:
        """Answer a scrape in a thread beside the event loop."""
        refusal = self._scrapes.refusal(scope)
        if refusal is not None:
            return refusal
        if not self._on_loop.run(self.refresh, _REFRESH_TIMEOUT):
            self.own.refresh_from_thread()
        return self._scrapes.answer(scope)

    def _all_declared(self) -> list[Declaration]:
        return [*declarations.known.values(), *self.declared.known.values()]


def _bounds(declared: Declaration) -> list[float]:
    if declared.kind != "histogram":
        return []
    return [bound for bound in declared.buckets or Histogram.DEFAULT_BUCKETS if math.isfinite(bound)]


async def _read(declared: Declaration) -> None:
    read = declared.read
    if read is None:
        return
    try:
        async with asyncio.timeout(_READ_TIMEOUT):
            value = await read()
        if isinstance(value, Mapping):
            now = {tuple(map(str, key if isinstance(key, tuple) else (key,))): one for key, one in value.items()}
            for key in set(getattr(declared.metric, "_metrics", ())) - now.keys():
                declared.metric.remove(*key)
            for key, one in now.items():
                declared.metric.labels(*key).set(one)
        else:
            declared.metric.set(value)
    except Exception as error:  # a scrape shows the last value and goes on
        failures.contain("metrics", error)
