"""The fixture `belvedere_metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import CollectorRegistry

    from belvedere.metrics import Metrics

Key = tuple[str, frozenset[tuple[str, str]]]
Values = dict[Key, float]

_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total",),
    "info": ("_info",),
    "histogram": ("_count", "_sum", "_bucket"),
    "summary": ("_count", "_sum"),
}
"""What the samples of a metric are called besides its name."""

_OF_PROCESS: Final = {"belvedere_internal_errors_total": "feature", "belvedere_series_folded_total": "metric"}
"""Counters of the process, which applications copy into their own metrics at each scrape; and their label."""

_SUGGESTED: Final = 5


class MetricDeltas:
    """What metrics have gained since a test began; called with a name and labels.

    Read are the metrics of all observed applications (where two have the same, the sum), of the registries given to
    `observe`, and of prometheus-client's default one. What is asked at a scrape alone shows what the last one read:
    gauges declared with `read`, the event loop's lag, the threads of the pool.
    """

    def __init__(self) -> None:
        from belvedere.metrics.instances import instances

        # Held for as long as the test runs: an application of which only the numbers are left still counts.
        self._held: list[Metrics] = list(instances)
        self._before = self._now()

    def __call__(self, name: str, /, **labels: Any) -> float:
        """Return by how much the metric has grown, summed over its series that have these labels.

            assert belvedere_metrics("http_requests_total", method="GET", endpoint="/x", status=200) == 1

        Args:
            name: as a scrape shows it: a counter's ends in `_total`, a histogram's in `_count`, `_sum` or `_bucket`
                (which has the label `le`).
            labels: some of its labels, or none; values are compared as text.

        Raises:
            LookupError: no metric has that name, or this one has no such label; it names what is near.
        """
        return self._sum(self._now(), name, labels) - self._sum(self._before, name, labels, check=False)

    def value(self, name: str, /, **labels: Any) -> float:
        """Return what the metric says now, summed over its series that have these labels: what one asks of a gauge.

        Raises:
            LookupError: as for a call.
        """
        return self._sum(self._now(), name, labels)

    def _sum(self, values: Values, name: str, labels: Mapping[str, Any], *, check: bool = True) -> float:
        if check:
            self._check(name, labels)
        wanted = {(label, str(value)) for label, value in labels.items()}
        return sum((value for (own, having), value in values.items() if own == name and wanted <= having), 0.0)

    def _check(self, name: str, labels: Mapping[str, Any]) -> None:
        known = self._known()
        if name not in known:
            raise LookupError(_unknown(name, set(known)))
        having = known[name]
        # A metric that is not Belvedere's and has no series yet does not tell its labels.
        if having and (unknown := sorted(labels.keys() - having)):
            raise LookupError(f"{name} has no label {', '.join(unknown)}; it has {', '.join(sorted(having))}")

    def _known(self) -> dict[str, set[str]]:
        """Return every name that a sample may have, each with what is known of its labels."""
        from belvedere.metrics.declared import declarations

        declared = {known.name: known.labels for known in declarations.known.values()}
        names = {name: {label} for name, label in _OF_PROCESS.items()}
        for metric, labels in self._metrics():
            for suffix in _SUFFIXES.get(metric.type, ("",)):
                own = names.setdefault(metric.name + suffix, set())
                own.update(labels, declared.get(metric.name, ()), declared.get(metric.name + suffix, ()))
                own.update({"le"} if suffix == "_bucket" else ())
            for sample in metric.samples:
                if sample.name in names or not sample.name.endswith("_created"):
                    names.setdefault(sample.name, set()).update(sample.labels)
        return names

    def _now(self) -> Values:
        from belvedere import failures
        from belvedere.metrics.cardinality import folded

        values: Values = {}
        for metric, _ in self._metrics():
            for sample in metric.samples:
                if sample.name not in _OF_PROCESS:
                    key = (sample.name, frozenset(sample.labels.items()))
                    values[key] = values.get(key, 0.0) + sample.value
        for (name, label), counts in zip(_OF_PROCESS.items(), (failures.counts, folded.counts), strict=True):
            for value, count in list(counts.items()):
                values[name, frozenset({(label, value)})] = float(count)
        return values

    def _metrics(self) -> Iterator[tuple[Metric, tuple[str, ...]]]:
        """Yield each metric with the labels that it is known to have; Belvedere's own hide others of their name."""
        ours = set()
        for metrics in self._held:
            for family in metrics.families:
                ours.update(family.base_names)
                for metric in family.collect():
                    yield metric, family.label_names
        for registry in self._registries():
            for metric in registry.collect():
                if metric.name not in ours:
                    yield metric, ()

    def _registries(self) -> list[CollectorRegistry]:
        from prometheus_client.registry import REGISTRY

        found = {id(registry): registry for metrics in self._held for registry in metrics.registries}
        return list({id(REGISTRY): REGISTRY, **found}.values())


def _unknown(name: str, known: set[str]) -> str:
    import difflib

    # The usual slip is a suffix: what begins alike comes first.
    alike = sorted(other for other in known if other.startswith(name) or name.startswith(other))[:_SUGGESTED]
    near = alike or difflib.get_close_matches(name, sorted(known), n=_SUGGESTED)
    hint = f"there is {', '.join(near)}" if near else f"none of the {len(known)} that there are is called like it"
    return f"no metric is called {name}; {hint}"


@pytest.fixture
def belvedere_metrics() -> Iterator[MetricDeltas]:
    """What metrics have gained since this test began: those of requests, declared ones, and prometheus-client's.

        def test_order(client, belvedere_metrics):
            client.post("/orders", json={"id": 7})
            assert belvedere_metrics("shop_orders_placed_total", channel="web") == 1
            assert belvedere_metrics("http_requests_total", endpoint="/orders", status=201) == 1

    Applications may be observed before the test or within it.
    """
    from belvedere.metrics.instances import instances

    deltas = MetricDeltas()
    hold: Callable[[Metrics], None] = deltas._held.append
    instances.told.append(hold)
    try:
        yield deltas
    finally:
        instances.told.remove(hold)
