"""Packages that do one job, each alone, in the fastest set-up that its documentation has."""

from __future__ import annotations

from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from prometheus_fastapi_instrumentator import Instrumentator
from secure import Secure
from secure.headers import (
    CrossOriginOpenerPolicy,
    ReferrerPolicy,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)
from secure.middleware import SecureASGIMiddleware
from Secweb.index import SecWeb

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._access_line import AccessLine, configure


def correlation_id() -> ASGIApp:
    """asgi-correlation-id with its own generator; no transformer, and the request's headers left alone."""
    app = application()
    app.add_middleware(CorrelationIdMiddleware, transformer=None, update_request_header=False)
    return app


def secweb() -> ASGIApp:
    """Secweb, which encodes its headers once and appends them in a single pass."""
    app = application()
    add_security_headers(app)
    return app


def add_security_headers(app: FastAPI) -> None:
    """Have Secweb send the five headers that Belvedere sends, and none of its other ten."""
    others = ("coep", "corp", "xss", "xcdp", "xdns", "xdo", "oac", "cache_control", "csp", "wshsts")
    options: Any = {
        **dict.fromkeys(others, False),
        "hsts": {"max-age": 31536000, "includeSubDomains": True, "preload": False},
        "xframe": "DENY",
        "referrer": ["strict-origin-when-cross-origin"],
        "coop": "same-origin",
    }
    SecWeb(app, options=options)


def secure() -> ASGIApp:
    """secure's ASGI middleware with the same five headers; its smallest preset has twelve."""
    app = application()
    policy = Secure(
        hsts=StrictTransportSecurity().max_age(31536000).include_subdomains(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        referrer=ReferrerPolicy().strict_origin_when_cross_origin(),
        coop=CrossOriginOpenerPolicy().same_origin(),
    )
    app.add_middleware(SecureASGIMiddleware, secure=policy)
    return app


def access_line() -> ASGIApp:
    """The JSON line alone."""
    configure()
    app = application()
    app.add_middleware(AccessLine)
    return app


def instrumentator() -> ASGIApp:
    """prometheus-fastapi-instrumentator as its README has it."""
    app = application()
    Instrumentator().instrument(app).expose(app)
    return app


def exporter() -> ASGIApp:
    """starlette-exporter as its README has it."""
    from starlette_exporter import PrometheusMiddleware, handle_metrics

    app = application()
    app.add_middleware(PrometheusMiddleware)
    app.add_route("/metrics", handle_metrics)
    return app


def starlette_prometheus() -> ASGIApp:
    """starlette-prometheus as its README has it (a BaseHTTPMiddleware)."""
    from starlette_prometheus import PrometheusMiddleware, metrics

    app = application()
    app.add_middleware(PrometheusMiddleware)
    app.add_route("/metrics", metrics)
    return app
