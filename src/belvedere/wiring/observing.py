"""`observe`, whatever kind of application it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client.registry import REGISTRY, CollectorRegistry

from belvedere.parts import Part
from belvedere.settings import Settings
from belvedere.wiring.observability import STATE, Observability
from belvedere.wiring.worker import is_celery, known_worker, observe_worker


def observe(
    app: Any, *parts: Part, settings: Settings | None = None, registry: CollectorRegistry = REGISTRY
) -> Observability:
    """Make `app` fit for production: ids, logs, metrics, probes, one error shape, security headers.

    Call it once, last among what wraps the application; a second call returns the same object, adding its parts.
    Called on a Celery application, in the module that its worker imports, it gives the worker the same ids, logs,
    metrics and probes, the latter two on `metrics.port`.

    Args:
        app: a FastAPI or Starlette application, or one of Celery.
        parts: checks, objectives, integrations and extensions.
        settings: by default everything from the environment.
        registry: the prometheus-client registry that is served besides Belvedere's own metrics.

    Raises:
        TypeError: `app` is no such application, or a part is none; or a part is about requests, for a worker.
        SettingsError: naming every bad setting.
    """
    known, make = _known(app)
    observability = known or make(app, settings or Settings(), registry)
    try:
        for part in parts:
            observability.add(part)
    except BaseException:
        if observability is not known:
            observability.remove()
        raise
    return observability


def _known(app: Any) -> tuple[Observability | None, Callable[[Any, Settings, CollectorRegistry], Observability]]:
    """Return what has been put around `app` already, and what puts it there.

    Raises:
        TypeError: it is neither an application of Starlette nor of Celery.
    """
    if is_celery(app):
        return known_worker(app), observe_worker
    if not hasattr(app, "build_middleware_stack") or not hasattr(app, "exception_handlers"):
        raise TypeError(
            f"observe takes a FastAPI, Starlette or Celery application, not {type(app).__name__}: "
            "call it on the app itself"
        )
    known = getattr(app.state, STATE, None)
    return known if isinstance(known, Observability) else None, Observability
