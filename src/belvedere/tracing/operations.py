"""FastAPI's spans of a request's parts (0.142 and later): dependencies, endpoint, serialisation, below our own span."""

from __future__ import annotations

from typing import Any

from belvedere.context import RequestContext


class Operations:
    """Has FastAPI make these spans with a tracer of ours, below a server span that it did not make.

    There is no public way: FastAPI looks for its own record of the request in the scope and in OpenTelemetry's context
    (`fastapi/telemetry/_api.py`). `find` returns `None` where this FastAPI has none.
    """

    def __init__(self, record: Any, key: str, tracer: Any) -> None:
        self._record = record
        self._key = key
        self._tracer = tracer

    @classmethod
    def find(cls, tracer: Any) -> Operations | None:
        try:
            from fastapi.telemetry._api import _REQUEST_TELEMETRY_KEY, _RequestTelemetry
        except ImportError:
            return None
        return cls(_RequestTelemetry, _REQUEST_TELEMETRY_KEY, tracer)

    def prepare(self, request: RequestContext, span: Any, values: dict[str, Any]) -> None:
        """Leave FastAPI's record of the request where FastAPI looks for it, without a span that it would end."""
        record = None
        if span.is_recording():
            record = self._record(span=None, span_method="", tracer=self._tracer)
        request.scope["fastapi.telemetry"] = values[self._key] = record
