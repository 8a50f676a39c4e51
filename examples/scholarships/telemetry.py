"""Everything that the service has of Belvedere: its settings, its parts, and what routes are marked with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from redis.asyncio import Redis
from sqlalchemy import select

import belvedere
from belvedere import Interactions, RateLimiter, integrations
from scholarships.config import Config
from scholarships.database import Database
from scholarships.models import Scholarship

MIGRATIONS = Path(__file__).with_name("migrations")

RATE_LIMIT_HEADERS = ("RateLimit", "RateLimit-Policy", "Retry-After")


class Telemetry:
    """Records and limits what is marked so, and makes the application observable."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config = config
        self._database = database
        self.interactions = Interactions(database.engine, subject="scholarship_id", subject_type=int)
        redis = config.rate_limit_redis_url
        url = None if redis is None else redis.get_secret_value()
        self._limiter = RateLimiter(url)
        self._redis: Redis | None = None if url is None else Redis.from_url(url)

    def recorded(self, event: str, *, subject: str | None = None) -> Any:
        """Return a dependency: each answer of the route becomes an interaction of this event.

        Args:
            subject: the parameter of the path that is the scholarship's number.
        """
        return self.interactions.record(event, subject)

    def limited(self, name: str) -> Any:
        """Return a dependency: the routes of this name share its limit in `RATE_LIMITS`.

        Whoever is signed in has a limit of their own, others one for each address; signing in has one for each address
        alone, so that nobody gets more tries by the token of somebody else.
        """
        key = "address" if name == "auth" else None
        return self._limiter.limit(self._config.rate_limits[name], name=name, key=key)

    def observe(self, app: FastAPI) -> None:
        """Observe the application, once it is whole."""
        # A database without tables answers, and is of no use yet.
        ping = select(Scholarship.id).limit(1)
        parts: list[belvedere.Part] = [
            integrations.sqlalchemy(self._database.engine, migrations=MIGRATIONS, ping=ping, timeout=1.0),
            self._limiter,
            self.interactions,
        ]
        if self._redis is not None:
            # Where it cannot count, each process does so for itself: better to have other instances serve.
            parts.append(integrations.redis(self._redis, ping=self._limiter.ping, timeout=1.0))
        belvedere.observe(app, *parts, settings=self._settings())

    async def close(self) -> None:
        """Close what the checks have opened."""
        if self._redis is not None:
            await self._redis.aclose()

    def _settings(self) -> belvedere.Settings:
        config = self._config
        tracing = {"tracing": {"endpoint": config.otel_endpoint}} if config.otel_endpoint else {}
        return belvedere.Settings(
            service="scholarships",
            environment=config.environment,
            requests={"format": "hex"},
            logs={"format": "json", "level": config.log_level, "keys": {"event": "message"}, "client": None},
            metrics={} if config.enable_metrics else None,
            **tracing,
        )
