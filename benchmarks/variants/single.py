"""Packages that do one job, each alone, in the fastest set-up that its documentation has."""

from __future__ import annotations

from asgi_correlation_id import CorrelationIdMiddleware
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

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._access_line import AccessLine, configure


def correlation_id() -> ASGIApp:
    """asgi-correlation-id with its own generator; no transformer, and the request's headers left alone."""
    app = application()
    app.add_middleware(CorrelationIdMiddleware, transformer=None, update_request_header=False)
    return app


def security_headers() -> ASGIApp:
    """secure's ASGI middleware."""
    app = application()
    app.add_middleware(SecureASGIMiddleware, secure=policy())
    return app


def policy() -> Secure:
    """The five headers that Belvedere sends, no more (secure's smallest preset has twelve)."""
    return Secure(
        hsts=StrictTransportSecurity().max_age(31536000).include_subdomains(),
        xcto=XContentTypeOptions().nosniff(),
        xfo=XFrameOptions().deny(),
        referrer=ReferrerPolicy().strict_origin_when_cross_origin(),
        coop=CrossOriginOpenerPolicy().same_origin(),
    )


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
