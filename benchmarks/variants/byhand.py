"""What teams write themselves for the same four jobs: id, JSON access line, metrics, security headers.

Once on Starlette's `BaseHTTPMiddleware`, as most tutorials do, and once in pure ASGI, as the careful do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any
from uuid import uuid4

import structlog
from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response

from benchmarks.application import application
from benchmarks.variants import ASGIApp, Message
from benchmarks.variants._access_line import AccessLine, configure

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Next = Callable[[Request], Awaitable[Response]]

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "cross-origin-opener-policy": "same-origin",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
}

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
registry = CollectorRegistry()
requests = Counter("http_requests", "Requests.", ["method", "endpoint", "status"], registry=registry)
durations = Histogram("http_request_duration_seconds", "Duration.", ["method", "endpoint"], registry=registry)


def base_http() -> ASGIApp:
    """Four classes with a `dispatch`."""
    configure()
    app = application()
    for middleware in (HeadersDispatch, MetricsDispatch, LineDispatch, IdDispatch):
        app.add_middleware(middleware)
    return app


def pure_asgi() -> ASGIApp:
    """Four classes that wrap `send`."""
    configure()
    app = application()
    app.add_middleware(Headers)
    app.add_middleware(Metrics)
    app.add_middleware(AccessLine, current_id=request_id.get)
    app.add_middleware(Id)
    return app


def count(scope: MutableMapping[str, Any], status: int, began: float) -> None:
    """Count one request under its route."""
    endpoint = getattr(scope.get("route"), "path", "unmatched")
    requests.labels(scope["method"], endpoint, str(status)).inc()
    durations.labels(scope["method"], endpoint).observe(perf_counter() - began)


class IdDispatch(BaseHTTPMiddleware):
    """Keep the caller's id or make one, and send it back."""

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        identifier = request.headers.get("x-request-id") or str(uuid4())
        request_id.set(identifier)
        response = await call_next(request)
        response.headers["x-request-id"] = identifier
        return response


class LineDispatch(BaseHTTPMiddleware):
    """Write one JSON line."""

    log: Any = structlog.get_logger("access")

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        began = perf_counter()
        response = await call_next(request)
        self.log.info(
            "request_processed",
            logger="access",
            service="benchmark",
            environment="production",
            request_id=request_id.get(),
            method=request.method,
            path=request.url.path,
            status=response.status_code,
            latency_ms=round((perf_counter() - began) * 1000, 3),
            client=request.client.host if request.client else None,
        )
        return response


class MetricsDispatch(BaseHTTPMiddleware):
    """Count and time."""

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        began = perf_counter()
        response = await call_next(request)
        count(request.scope, response.status_code, began)
        return response


class HeadersDispatch(BaseHTTPMiddleware):
    """Add the security headers."""

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        response = await call_next(request)
        response.headers.update(SECURITY)
        return response


class Id:
    """Keep the caller's id or make one, and send it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identifier = dict(scope["headers"]).get(b"x-request-id", b"").decode() or str(uuid4())
        request_id.set(identifier)

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", identifier.encode())]
            await send(message)

        await self.app(scope, receive, wrapped)


class Metrics:
    """Count and time."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500
        began = perf_counter()

        async def wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, wrapped)
        finally:
            count(scope, status, began)


class Headers:
    """Add the security headers, encoded once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [(name.encode(), value.encode()) for name, value in SECURITY.items()]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, wrapped)
