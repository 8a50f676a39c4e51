"""What prometheus-client tells of the process, the interpreter and its garbage collector, over all workers.

These collectors look at their own process when they are asked; each worker asks them every few seconds and puts the
answers where its siblings see them. Other collectors are asked by the worker that answers a scrape, and by it alone:
what they tell is as a rule the same from wherever one asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from belvedere import failures
from belvedere.metrics.families import Family, Home

_COLLECTORS: Final = (GCCollector, PlatformCollector, ProcessCollector)
_COMBINED: Final[dict[str, Literal["max", "min"]]] = {"process_start_time_seconds": "min", "python_info": "max"}
"""How gauges of the process are combined that cannot be added: the service started with its oldest worker."""


class Mirrors:
    """Families that show what the collectors of this process told last.

    Args:
        home: where their cells lie.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._families: dict[str, Family] = {}
        self.names: dict[Any, set[str]] = {}
        """What each collector told last, by name."""

    def update(self, collectors: Iterable[Any]) -> None:
        """Ask those of the collectors that are mirrored."""
        for collector in filter(mirrored, collectors):
            try:
                told = list(collector.collect())
                self.names[collector] = {metric.name for metric in told}
                for metric in told:
                    self._take(metric)
            except Exception as error:  # a subclass may raise anything
                failures.contain("metrics", error)

    def close(self) -> None:
        for family in self._families.values():
            family.settle(None)

    def _take(self, metric: Metric) -> None:
        if metric.type not in {"counter", "gauge"} or not metric.samples:
            return
        family = self._families.get(metric.name)
        if family is None:
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            family = self._families[metric.name] = Family(
                (name,),
                "counter" if metric.type == "counter" else "gauge",
                metric.documentation,
                tuple(metric.samples[0].labels),
                combine=_COMBINED.get(metric.name, "sum"),
            )
            family.settle(self._home)
        for sample in metric.samples:
            if sample.name in family.names:
                family.get(*[sample.labels[label] for label in family.label_names]).cells[0] = sample.value


def mirrored(collector: Any) -> bool:
    """Whether siblings see what a collector tells."""
    return isinstance(collector, _COLLECTORS)
