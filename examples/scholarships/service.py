"""Puts the service together: configuration in, application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import belvedere
from scholarships import __version__
from scholarships.config import Config
from scholarships.database import Database
from scholarships.repository import Scholarships
from scholarships.routes import root, scholarships
from scholarships.startup import migrate

DESCRIPTION = """
Find scholarships by filters, or search them by text.

Every answer carries `X-Request-ID`; errors have one shape, `{"error", "message", "request_id"}`.
"""


def create_app(config: Config | None = None) -> FastAPI:
    """Return the application; nothing is connected before it starts."""
    config = config or Config()
    database = Database(config.database_url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            # In production, migrations are a step of the deployment, and no made-up scholarship is wanted.
            if not config.production:
                await migrate(database, with_samples=True)
            yield
        finally:
            await database.close()

    app = FastAPI(title="Scholarship API", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.state.config = config
    app.state.scholarships = Scholarships(database)
    app.include_router(root.router)
    app.include_router(scholarships.router)
    belvedere.observe(
        app,
        belvedere.Check("database", database.ping, timeout=1.0, message="Database connection failed"),
        settings=_observability(config),
    )
    return app


def _observability(config: Config) -> belvedere.Settings:
    tracing = {"tracing": {"endpoint": config.otel_endpoint}} if config.otel_endpoint else {}
    return belvedere.Settings(
        service="scholarships",
        environment=config.environment,
        requests={"format": "hex"},
        logs={"format": "json", "level": config.log_level, "keys": {"event": "message"}, "client": None},
        metrics={} if config.enable_metrics else None,
        **tracing,
    )
