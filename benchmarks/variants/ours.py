"""Belvedere, by its one line; and the same with features switched off, for the profile."""

from __future__ import annotations

from typing import Any

import belvedere
from belvedere import Settings
from benchmarks.application import application
from benchmarks.variants import ASGIApp


def limited() -> ASGIApp:
    """The same with a limit on every route, by client address, which is never reached."""
    limiter = belvedere.RateLimiter()
    app = application(dependencies=[limiter.limit("1000000000/hour")])
    belvedere.observe(app, limiter, settings=Settings(environment="production"))
    return app


def build(without: str = "") -> ASGIApp:
    """The default set-up in a production environment, less the features named (comma-separated)."""
    options: dict[str, Any] = {"environment": "production"}
    for feature in filter(None, without.split(",")):
        options[feature.removesuffix(".access")] = {"access": False} if feature == "logs.access" else None
    app = application()
    belvedere.observe(app, settings=Settings(**options))
    return app


def traced(share: str) -> ASGIApp:
    """The default with that share of the requests traced, by a provider such as the other rows with spans have."""
    # Here, as the other rows are to do without the SDK.
    from benchmarks.variants._providers import tracer_provider

    app = application()
    tracing: dict[str, Any] = {"provider": tracer_provider(float(share))}
    belvedere.observe(app, settings=Settings(environment="production", tracing=tracing))
    return app
