"""Everything that the service has of Belvedere: its settings, its parts, and what routes are marked with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

import belvedere
from belvedere import Check, Interactions, RateLimiter
from scholarships.config import Config
from scholarships.database import Database

RATE_LIMIT_HEADERS = ("RateLimit", "RateLimit-Policy", "Retry-After")


class Telemetry:
    """Records and limits what is marked so, and makes the application observable."""

    def __init__(self, config: Config, database: Database) -> None:
        self._config = config
        self._database = database
        self.interactions = Interactions(database.engine, subject="scholarship_id", subject_type=int)
        redis = config.rate_limit_redis_url
        self._limiter = RateLimiter(None if redis is None else redis.get_secret_value())

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
        parts: list[belvedere.Part] = [
            Check("database", self._database.ping, timeout=1.0, message="Database connection failed"),
            self._limiter,
            self.interactions,
        ]
        if self._config.rate_limit_redis_url is not None:
            # Without it each process counts for itself: better to have other instances serve.
            parts.append(self._limiter.check("redis", timeout=1.0, message="Redis connection failed"))
        belvedere.observe(app, *parts, settings=self._settings())

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
