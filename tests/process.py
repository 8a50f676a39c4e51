"""What belongs to the process, put aside for a test and put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector

from belvedere import failures
from belvedere.metrics.cardinality import folded
from belvedere.metrics.declared import declarations

VARIABLES = (
    "BELVEDERE_",
    "OTEL_",
    "SENTRY_",
    "FORWARDED_ALLOW_IPS",
    "LOG_LEVEL",
    "ENVIRONMENT",
    "APP_VERSION",
    "NO_COLOR",
)


_ALWAYS_THERE = (GCCollector, PlatformCollector, ProcessCollector)


@contextmanager
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without metrics that were made and without counts, and forget at the end what the block made of either.

    No variable sets anything.
    """
    for variable in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(variable)
    aside = _made()
    declared = dict(declarations.known)
    for collector in aside:
        REGISTRY.unregister(collector)
    declarations.known.clear()
    counts: list[dict[str, Any]] = [folded.counts, failures.counts, failures._last_logged]
    before = [dict(count) for count in counts]
    for count in counts:
        count.clear()
    try:
        yield
    finally:
        for collector in _made():
            REGISTRY.unregister(collector)
        for collector in aside:
            REGISTRY.register(collector)
        declarations.known.clear()
        declarations.known.update(declared)
        for count, counted in zip(counts, before, strict=True):
            count.clear()
            count.update(counted)


def _made() -> list[Collector]:
    return [collector for collector in REGISTRY._collector_to_names if not isinstance(collector, _ALWAYS_THERE)]
