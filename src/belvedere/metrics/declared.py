"""Metrics that the application declares: prometheus-client's own, bounded, each declared once and listed.

They belong to the process, and show in every application of it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isnan
from typing import Any, Literal, TypeVar

import prometheus_client
from prometheus_client.registry import REGISTRY, CollectorRegistry
from prometheus_client.samples import Exemplar

from belvedere.context import current
from belvedere.conventions import HTTP_METRICS, OVERFLOW, OWN_METRICS, WEBSOCKET_METRICS, MetricType
from belvedere.metrics.cardinality import folded
from belvedere.metrics.families import fits_exemplar
from belvedere.metrics.naming import check_names, used_names
from belvedere.metrics.workers import exchange, owned_by

Combine = Literal["sum", "max", "min", "latest"]
Read = Callable[[], Awaitable[float | Mapping[Any, float]]]
M = TypeVar("M", "Counter", "Gauge", "Histogram")

_MODES = {"sum": "livesum", "max": "livemax", "min": "livemin", "latest": "livemostrecent"}
_OURS = frozenset(metric.name for metric in (*HTTP_METRICS, *WEBSOCKET_METRICS, *OWN_METRICS))
_lock = threading.Lock()


class _Bounded:
    """Gives `labels()` a bound: label sets past `max_series` share one whose values are all `_overflow`."""

    max_series = 2000
    _metrics: dict[Sequence[str], Any]
    _labelnames: Sequence[str]
    full_name = ""
    owner: str | None = ""
    """The application that it belongs to; "" for the process, `None` for what each worker tells by itself."""

    def labels(self, *values: Any, **by_name: Any) -> Any:
        if values and not by_name:
            key = tuple([str(value) for value in values])
            # prometheus-client's own look-up takes a lock for what is nearly always there.
            child = getattr(self, "_metrics", {}).get(key)
            if child is not None:
                return child
        elif by_name and not values and sorted(by_name) == sorted(self._labelnames):
            key = tuple([str(by_name[name]) for name in self._labelnames])
        else:
            return super().labels(*values, **by_name)  # type: ignore[misc]
        known = getattr(self, "_metrics", {})
        if len(known) >= self.max_series and key not in known and len(key) == len(self._labelnames):
            folded.note(self.full_name)
            key = (OVERFLOW,) * len(key)
        with owned_by(self.owner, self.max_series):
            return super().labels(*key)  # type: ignore[misc]


class Counter(_Bounded, prometheus_client.Counter):
    """A prometheus-client counter with a bound on its label sets."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Count, in half of the steps that prometheus-client takes where there is nothing to complain about."""
        value: Any
        try:
            value = self._value
        except AttributeError:  # of a metric with labels, which says so
            value = None
        if value is None or amount < 0 or exemplar is not None:
            super().inc(amount, exemplar)
        else:
            value.inc(amount)


class Gauge(_Bounded, prometheus_client.Gauge):
    """A prometheus-client gauge with a bound on its label sets."""


class Histogram(_Bounded, prometheus_client.Histogram):
    """A prometheus-client histogram with a bound on its label sets, and with the trace of a request as exemplar."""

    _buckets: list[Any]
    _upper_bounds: list[float]

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count an amount; its bucket leads to the trace of the request that is served, unless an exemplar is given."""
        super().observe(amount, exemplar)
        if exemplar is not None:
            return
        request = current.get()
        # prometheus-client takes an exemplar's names and values apart each time, which costs more than the observation.
        if request is not None and request.sampled and fits_exemplar(request.trace_id) and not isnan(amount):
            at = bisect_left(self._upper_bounds, amount)
            self._buckets[at].set_exemplar(Exemplar({"trace_id": request.trace_id}, amount, time.time()))


@dataclass(frozen=True, slots=True)
class Declaration:
    """What was said when a metric was declared; saying it again must say the same."""

    name: str
    kind: MetricType
    documentation: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    combine: Combine = "sum"
    metric: Any = field(default=None, compare=False)
    read: Read | None = field(default=None, compare=False)


class Declarations:
    """The metrics declared in one registry: each once, whoever asks.

    Args:
        registry: where they are registered.
        owner: the application that they belong to; "" for the process.
    """

    def __init__(self, registry: CollectorRegistry, owner: str = "") -> None:
        self.registry = registry
        self._owner = owner
        self.known: dict[str, Declaration] = {}

    def declare(
        self,
        make: type[M],
        kind: MetricType,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        max_series: int,
        buckets: Sequence[float] = (),
        combine: Combine = "sum",
        read: Read | None = None,
    ) -> M:
        """Return the metric of that name, made at the first call.

        Raises:
            ValueError: it is declared already with another type, labels, buckets or combination, somebody else has
                it, or no reader would take it.
        """
        if isinstance(labels, str):
            raise TypeError(f"{name}: labels are a list of names; write [{labels!r}]")
        if read is not None and not callable(read):
            raise TypeError(f"{name}: read is an async callable, not {read!r}; give the function itself")
        if kind == "counter" and not name.endswith("_total"):
            name = f"{name}_total"
        if name in _OURS:
            raise ValueError(f"{name} is a metric of Belvedere's own; choose another name")
        check_names(name, tuple(labels))
        if any(low >= high for low, high in pairwise(buckets)):
            raise ValueError(f"{name}: buckets must rise, not {tuple(buckets)!r}")
        wanted = Declaration(name, kind, documentation, tuple(labels), tuple(buckets), combine)
        with _lock:
            first = self.known.get(name)
            if first is not None:
                _same(first, wanted)
                if read is not None:
                    # An application that is built again, as tests do, brings a source of its own.
                    self.known[name] = replace(first, read=read)
                    first.metric.owner = None
                    exchange(first.metric)
                metric: M = first.metric
                return metric
            options: dict[str, Any] = {"registry": self.registry}
            if kind == "histogram" and buckets:
                options["buckets"] = tuple(buckets)
            if kind == "gauge":
                options["multiprocess_mode"] = _MODES[combine]
            # Whoever answers a scrape reads for all workers: nobody else's value counts.
            owner = self._owner if read is None else None
            try:
                with owned_by(owner):
                    metric = make(name, documentation, tuple(labels), **options)
            except ValueError as error:
                if "Duplicated timeseries" not in str(error):
                    raise
                raise ValueError(self._taken(name, kind)) from None
            metric.max_series = max_series
            metric.full_name = name
            metric.owner = owner
            self.known[name] = Declaration(
                name, kind, documentation, wanted.labels, wanted.buckets, combine, metric=metric, read=read
            )
            return metric

    def totals(self, name: str) -> dict[tuple[str, ...], float]:
        """Return what a counter has counted in this process, by the values of its labels."""
        samples = [sample for family in self.known[name].metric.collect() for sample in family.samples]
        return {tuple(sample.labels.values()): sample.value for sample in samples if sample.name == name}

    def _taken(self, name: str, kind: MetricType) -> str:
        wanted = set(_used(name, kind))
        for known in self.known.values():
            if wanted.intersection(_used(known.name, known.kind)):
                return f"{name} would be called as samples of {known.name} are, declared already: choose another name"
        return (
            f"{name} was made with prometheus_client directly already; it is served as it is, or declare it here alone"
        )


def _used(name: str, kind: MetricType) -> list[str]:
    return used_names(name.removesuffix("_total") if kind == "counter" else name, kind)


def _same(first: Declaration, wanted: Declaration) -> None:
    for what in ("kind", "labels", "buckets", "combine"):
        before, now = getattr(first, what), getattr(wanted, what)
        if before != now:
            raise ValueError(
                f"{first.name} is declared already with {what} {before!r}, now with {now!r}: "
                "declare it once and import it, or choose another name"
            )


declarations = Declarations(REGISTRY)
"""Of this process."""


def counter(name: str, documentation: str, labels: Sequence[str] = (), *, max_series: int = 2000) -> Counter:
    """Declare a counter; its name gets `_total` where it lacks it.

    Args:
        name: with its unit, such as `shop_orders_placed_total`.
        documentation: one sentence for whoever reads the metrics.
        labels: names of labels; their values should be few.
        max_series: the bound on label sets; further ones are counted under `_overflow`.

    Raises:
        ValueError: the name is taken, or declared with another type or other labels.
    """
    return declarations.declare(Counter, "counter", name, documentation, labels, max_series=max_series)


def histogram(
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    *,
    buckets: Sequence[float] | None = None,
    max_series: int = 2000,
) -> Histogram:
    """Declare a histogram; `buckets` are upper bounds in its unit, rising, by default prometheus-client's.

    Raises:
        ValueError: the name is taken, or declared with another type, other labels or buckets.
    """
    return declarations.declare(
        Histogram, "histogram", name, documentation, labels, max_series=max_series, buckets=buckets or ()
    )


def gauge(
    name: str,
    documentation: str,
    labels: Sequence[str] = (),
    *,
    combine: Combine = "sum",
    read: Read | None = None,
    max_series: int = 2000,
) -> Gauge:
    """Declare a gauge.

    Args:
        name: with its unit.
        documentation: one sentence for whoever reads the metrics.
        labels: names of labels.
        combine: how the values of several workers become one: `sum`, `max`, `min` or `latest`.
        read: an async callable asked at each scrape; returns the value, or for a gauge with labels a mapping of label
            value (a tuple where there are several labels) to value. Given again, it takes the place of the one before.
        max_series: the bound on label sets.

    Raises:
        ValueError: the name is taken, or declared with another type, other labels or combination.
    """
    if combine not in _MODES:
        raise ValueError(f"{name}: gauges combine by sum, max, min or latest, not {combine!r}")
    return declarations.declare(
        Gauge, "gauge", name, documentation, labels, max_series=max_series, combine=combine, read=read
    )
