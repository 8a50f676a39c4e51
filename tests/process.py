"""What belongs to the process, put aside for a test and put back afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

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


@contextmanager
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget, at the end of the block, every metric made and everything counted in it; no variable sets anything."""
    for variable in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(variable)
    registered = set(REGISTRY._collector_to_names)
    declared = dict(declarations.known)
    counts: list[dict[str, Any]] = [folded.counts, failures.counts, failures._last_logged]
    before = [dict(count) for count in counts]
    for count in counts:
        count.clear()
    try:
        yield
    finally:
        for collector in set(REGISTRY._collector_to_names) - registered:
            REGISTRY.unregister(collector)
        declarations.known.clear()
        declarations.known.update(declared)
        for count, counted in zip(counts, before, strict=True):
            count.clear()
            count.update(counted)
