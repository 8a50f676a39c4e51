"""`GET /`: what this is."""

from __future__ import annotations

from fastapi import APIRouter, Request

from scholarships import __version__
from scholarships.config import Config
from scholarships.schemas import ServiceInfo
from scholarships.telemetry import Telemetry


def routes(telemetry: Telemetry) -> APIRouter:
    """Return the route of the root."""
    router = APIRouter(tags=["service"])

    @router.get("/", summary="Tell what this is", dependencies=[telemetry.recorded("root_view")])
    async def root(request: Request) -> ServiceInfo:
        """Name, version, and where documentation, probes and metrics are."""
        config: Config = request.app.state.config
        prefix: str = request.scope.get("root_path", "")  # behind a proxy that cuts a part of the path off
        return ServiceInfo(
            name="scholarships",
            version=__version__,
            status="running",
            docs=f"{prefix}/docs",
            health=f"{prefix}/healthz",
            ready=f"{prefix}/readyz",
            metrics=f"{prefix}/metrics" if config.enable_metrics else None,
        )

    return router
