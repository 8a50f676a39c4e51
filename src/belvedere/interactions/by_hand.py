"""What of an event is told by hand, and what is taken from the request that is being served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from belvedere.context import bound_fields, current, request_id

_TRACE_ID = 128
"""Characters of a trace id that are kept."""


def event(event: Any, request: Any, response: Any, *, user_id: Any, trace_id: Any) -> dict[str, Any]:
    """Return who did what in which request, as `Recorder.record` takes it.

    Raises:
        TypeError: the event has no name.
    """
    if type(event) is not str or not event:
        raise TypeError(f"an event is a text, not {type(event).__name__}")
    served = current.get()
    scope: Mapping[str, Any] = getattr(request, "scope", None) or {}
    path, method, status = ("", "", 0) if served is None else (served.path, served.method, served.status)
    if user_id is None:
        bound = bound_fields() if served is None or served.bound is None else served.bound
        user_id = bound.get("user_id")
    if trace_id is None:
        trace_id = request_id() if served is None else served.trace_id
    routed = scope if served is None or "path" in scope else served.route_scope
    answered = getattr(response, "status_code", None)
    return {
        "event": event,
        "user_id": user_id,
        "path": str(scope.get("path", path)),
        "method": str(scope.get("method", method)),
        "status": answered if type(answered) is int else status,
        "trace_id": None if trace_id is None else str(trace_id)[:_TRACE_ID],
        "parameters": (routed or {}).get("path_params") or {},
    }
