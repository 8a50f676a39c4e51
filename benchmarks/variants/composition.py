"""The best composition of peers for what Belvedere's default does: id, JSON access line, metrics, headers, JSON errors.

Per job the fastest maintained package that is pure ASGI, in its fastest sane set-up; README.md says which, and why.
"""

from __future__ import annotations

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.exceptions import HTTPException

from benchmarks.application import application
from benchmarks.variants import ASGIApp
from benchmarks.variants._access_line import AccessLine, configure
from benchmarks.variants.single import add_security_headers


def build() -> ASGIApp:
    """Compose them; the one added last is outermost. This order is the fastest in which the line knows the id."""
    configure()
    app = application()
    Instrumentator().instrument(app).expose(app)
    add_security_headers(app)
    app.add_middleware(AccessLine, current_id=correlation_id.get)
    app.add_middleware(CorrelationIdMiddleware, transformer=None, update_request_header=False)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(Exception, unhandled_error)
    return app


def envelope(status: int, error: str, message: object) -> JSONResponse:
    """One shape for every error."""
    return JSONResponse({"error": error, "message": message, "request_id": correlation_id.get()}, status)


async def http_error(request: Request, exc: Exception) -> JSONResponse:
    """An error the application raised."""
    assert isinstance(exc, HTTPException)
    return envelope(exc.status_code, f"http_{exc.status_code}", exc.detail)


async def validation_error(request: Request, exc: Exception) -> JSONResponse:
    """An input that does not fit."""
    return envelope(422, "validation_error", "Invalid request")


async def unhandled_error(request: Request, exc: Exception) -> JSONResponse:
    """Anything else."""
    return envelope(500, "internal_error", "Internal server error")
