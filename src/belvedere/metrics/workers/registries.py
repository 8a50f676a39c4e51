"""Registries as siblings see them: what is shared, and what only this worker can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from belvedere.metrics.workers.mirrors import mirrored
from belvedere.metrics.workers.values import placed


def collectors(registry: Any) -> dict[Any, Any]:
    """Return a registry's collectors with the names that each has; none, if it does not tell."""
    return dict(getattr(registry, "_collector_to_names", {}))


def shared(collector: Any) -> bool:
    """Whether siblings see what a collector collects."""
    return placed(collector) or mirrored(collector)


def shared_names(registry: Any, mirrored_as: Mapping[Any, set[str]]) -> set[str]:
    """Return the names of all metrics of a registry that siblings see.

    Args:
        registry: which need not know what a mirrored collector tells.
        mirrored_as: names by collector.
    """
    found = collectors(registry)
    told = {name for collector, names in found.items() if shared(collector) for name in names}
    return told.union(*(mirrored_as.get(collector, set()) for collector in found))


class Unshared:
    """A registry without what siblings see: `Info`, `Enum`, other people's collectors, what is asked per scrape."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry

    @property
    def _collector_to_names(self) -> dict[Any, Any]:
        # Where exposition looks for the single ones when one of them fails.
        return {collector: names for collector, names in collectors(self._registry).items() if not shared(collector)}

    def collect(self) -> Iterator[Any]:
        if not hasattr(self._registry, "_collector_to_names"):
            yield from self._registry.collect()
        for collector in self._collector_to_names:
            yield from collector.collect()
