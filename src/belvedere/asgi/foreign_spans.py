"""Server spans that others make inside the pass: their ids become the request's, and nobody makes a second one.

`opentelemetry-instrumentation-fastapi` (and logfire, which uses it) and Starlette's own middleware sit between the
pass and the application, so that their span is not there yet when the pass opens a request.
"""

from __future__ import annotations

from typing import Any

from belvedere.asgi.exchange import Exchange
from belvedere.context import SCOPE_KEY, RequestContext

_MIDDLEWARE = "OpenTelemetryMiddleware"
"""What both call theirs: `opentelemetry.instrumentation.asgi` and `starlette.middleware.opentelemetry`."""


def makes_spans(layer: Any) -> bool:
    """Whether a layer of a middleware stack makes server spans."""
    return type(layer).__name__ == _MIDDLEWARE


class Adopter:
    """Just inside such a layer: takes the ids of the span that it has begun."""

    def __init__(self, app: Any) -> None:
        from opentelemetry.trace import get_current_span

        self.app = app
        self._current = get_current_span

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request: RequestContext | None = scope.get(SCOPE_KEY)
        if isinstance(request, Exchange) and request.span is None:
            request.adopt(self._current())
            scope.setdefault("state", {})["trace_id"] = request.trace_id
            # A mounted FastAPI application looks for this key before it makes a span of its own.
            scope.setdefault("fastapi.telemetry", None)
        await self.app(scope, receive, send)
