"""Log lines as tests look at them, and requests made by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from belvedere.asgi import Plan
from belvedere.context import RequestContext

Line = dict[str, Any]

REQUEST_ID = "5b6a3c52-7f0e-4f7e-9a53-0a1b2c3d4e5f"
TRACE_ID = "5b6a3c527f0e4f7e9a530a1b2c3d4e5f"
SERVICE = {"service": "shop", "environment": "test"}

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def parsed(text: str | bytes, *, timestamp: str = "timestamp") -> list[Line]:
    """Return the lines of an output, each a whole JSON object; their time stamps are looked at and taken out."""
    if isinstance(text, bytes):
        text = text.decode()
    assert text == "" or text.endswith("\n")
    lines: list[Line] = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert next(iter(line)) == timestamp
        assert _TIMESTAMP.fullmatch(line.pop(timestamp))
    return lines


def line(level: str, logger: str, event: str, **fields: Any) -> Line:
    """Return what a line without request holds, besides its time stamp."""
    return {"level": level, "logger": logger, "event": event, **SERVICE, **fields}


def request(
    path: str = "/items/7",
    endpoint: str = "/items/{item_id}",
    *,
    method: str = "GET",
    service: Mapping[str, str] = SERVICE,
    client: str | None = "192.0.2.7",
    **known: Any,
) -> RequestContext:
    """Return the context of a request that was answered with 200, but for what is `known`."""
    plan = Plan()
    plan.service = service
    made = RequestContext()
    made.plan = plan
    made.scope = {"type": "http", "method": method, "path": path}
    made.headers = {}
    made.method, made.path, made.endpoint, made.client = method, path, endpoint, client
    made.request_id, made.trace_id, made.span_id, made.sampled = REQUEST_ID, TRACE_ID, None, True
    made.bound = made.route = made.route_scope = made.exception = None
    made.websocket = made.excluded = made.disconnected = False
    made.started, made.duration = 0.0, 0.0125
    made.status, made.request_bytes, made.response_bytes = 200, 0, 42
    for name, value in known.items():
        setattr(made, name, value)
    return made
