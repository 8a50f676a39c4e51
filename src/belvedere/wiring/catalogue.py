"""What the application shows to the world, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from belvedere.asgi.routes import templates
from belvedere.health import Health
from belvedere.metrics import Metrics
from belvedere.parts import SLO
from belvedere.settings import Settings
from belvedere.wiring.report import Report


def catalogue(
    settings: Settings,
    app: Any,
    *,
    metrics: Metrics | None,
    health: Health | None,
    objectives: Sequence[SLO],
    report: Report,
) -> dict[str, Any]:
    """Return what dashboards and rules are made from, in types that JSON has."""
    return {
        **worker_catalogue(settings, metrics=metrics, health=health, report=report),
        "routes": [{"path": path, "methods": sorted(methods)} for path, methods, _ in templates(app) if methods],
        "slos": [
            {
                "name": objective.name,
                "objective": objective.objective,
                "latency": objective.latency,
                "routes": list(objective.routes),
            }
            for objective in objectives
        ],
    }


def worker_catalogue(
    settings: Settings, *, metrics: Metrics | None, health: Health | None, report: Report
) -> dict[str, Any]:
    """Return the same of what has neither routes nor objectives."""
    probes = health.describe() if health else {"probes": [], "checks": []}
    return {
        "service": settings.service,
        "version": settings.version,
        "environment": settings.environment,
        "metrics_path": settings.metrics.path if settings.metrics else None,
        "metrics_port": metrics.port.number if metrics and metrics.port else None,
        "metrics": metrics.describe() if metrics else [],
        "routes": [],
        **probes,
        "slos": [],
        "features": {name: row["state"] for name, row in report.items()},
    }
