"""Metrics as OpenTelemetry's data points, from the text that a scrape would get: of all workers, as it is now."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]

_UNITS = {"_seconds": "s", "_bytes": "By"}
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Points:
    """Makes data points of metrics as text.

    Args:
        resource: the service that they are of.
        since: when counting began, in nanoseconds since the epoch.
    """

    def __init__(self, resource: Resource, since: int) -> None:
        self._resource = resource
        self._since = since

    def __call__(self, text: str, now: int) -> MetricsData:
        """Return all metrics of a text, as of `now`, under the names that a scrape shows."""
        metrics = [metric for family in text_string_to_metric_families(text) for metric in self._metrics(family, now)]
        scope = ScopeMetrics(InstrumentationScope("belvedere"), metrics, "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _metrics(self, family: Any, now: int) -> Iterator[Metric]:
        if family.type == "histogram":
            # Of none, the exporter would make a metric that does not say what it is.
            if histograms := list(self._histograms(family.samples, now)):
                yield _metric(family.name, family.documentation, Histogram(histograms, _CUMULATIVE))
            return
        sums = {"counter": ("_total",), "summary": ("_count", "_sum")}.get(family.type, ())
        by_name: dict[str, list[NumberDataPoint]] = {}
        for sample in family.samples:
            point = NumberDataPoint(sample.labels, self._since if sums else 0, now, sample.value)
            by_name.setdefault(sample.name, []).append(point)
        for name, points in by_name.items():
            data = Sum(points, _CUMULATIVE, is_monotonic=True) if name.endswith(sums) and sums else Gauge(points)
            yield _metric(name, family.documentation, data)

    def _histograms(self, samples: Iterable[Any], now: int) -> Iterator[HistogramDataPoint]:
        found: dict[Labels, tuple[dict[float, float], dict[str, float]]] = {}
        for sample in samples:
            labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
            buckets, others = found.setdefault(labels, ({}, {}))
            if sample.name.endswith("_bucket"):
                buckets[float(sample.labels["le"])] = sample.value
            else:
                others[sample.name.rpartition("_")[2]] = sample.value
        for labels, (buckets, others) in found.items():
            bounds = sorted(buckets)
            upto = [buckets[bound] for bound in bounds]
            counts = [int(here - before) for before, here in zip([0.0, *upto], upto, strict=False)]
            unknown: Any = None  # what least and greatest were
            yield HistogramDataPoint(
                dict(labels),
                self._since,
                now,
                int(others.get("count", 0)),
                others.get("sum", 0.0),
                counts,
                [bound for bound in bounds if math.isfinite(bound)],
                unknown,
                unknown,
            )


def _metric(name: str, documentation: str, data: Any) -> Metric:
    base = name.removesuffix("_total")
    return Metric(name, documentation, next((unit for end, unit in _UNITS.items() if base.endswith(end)), ""), data)
