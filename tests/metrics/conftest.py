"""Applications observed for one test; what belongs to the process is as before afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from prometheus_client import REGISTRY

import belvedere
from belvedere import failures
from belvedere.metrics.cardinality import folded
from belvedere.metrics.declared import declarations
from belvedere.settings import Settings

Observe = Callable[..., belvedere.Observability]

VARIABLES = ("BELVEDERE_", "OTEL_", "SENTRY_", "FORWARDED_ALLOW_IPS", "LOG_LEVEL", "ENVIRONMENT", "APP_VERSION")


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test declared and counted: metrics belong to the process, and so would these."""
    for variable in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(variable)
    registered = set(REGISTRY._collector_to_names)
    declared = dict(declarations.known)
    counts: list[dict[str, Any]] = [folded.counts, failures.counts, failures._last_logged]
    before = [dict(count) for count in counts]
    for count in counts:
        count.clear()
    yield
    for collector in set(REGISTRY._collector_to_names) - registered:
        REGISTRY.unregister(collector)
    declarations.known.clear()
    declarations.known.update(declared)
    for count, counted in zip(counts, before, strict=True):
        count.clear()
        count.update(counted)


@pytest.fixture
def observe(clock: Clock) -> Iterator[Observe]:
    """Observes applications until the test ends: without logs unless told otherwise, timed by `clock`."""
    with ExitStack() as stack:

        def observe(
            app: Any, *parts: belvedere.Part, registry: Any = REGISTRY, **settings: Any
        ) -> belvedere.Observability:
            settings = {"service": "shop", "logs": None, **settings}
            made = belvedere.observe(app, *parts, settings=Settings(**settings), registry=registry)
            stack.callback(made.remove)
            made._plan.clock = clock
            return made

        yield observe
