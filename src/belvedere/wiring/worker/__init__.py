"""A Celery worker under observation: the same logs, ids, metrics and probes, without requests."""

from __future__ import annotations

import sys
from typing import Any

from prometheus_client.registry import CollectorRegistry

from belvedere.settings import Settings
from belvedere.wiring.observability import Observability

__all__ = ["is_celery", "known_worker", "observe_worker"]


def is_celery(app: Any) -> bool:
    """Whether this is an application of Celery, or stands for one; without importing what it cannot be then."""
    kind = getattr(sys.modules.get("celery"), "Celery", None)
    return kind is not None and isinstance(app, kind)


def known_worker(app: Any) -> Observability | None:
    """Return what has been put around an application of Celery already."""
    from belvedere.integrations._celery.part import application
    from belvedere.wiring.worker.observability import observed

    return observed.get(application(app))


def observe_worker(app: Any, settings: Settings, registry: CollectorRegistry) -> Observability:
    """Observe the worker that runs tasks of `app`."""
    from belvedere.integrations._celery.part import application
    from belvedere.wiring.worker.observability import WorkerObservability

    return WorkerObservability(application(app), settings, registry)
