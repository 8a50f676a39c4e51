"""The one ASGI pass: each request crosses Belvedere here, once.

It sits outside every middleware of the application and owns the id, the context and the outcome. A feature is an observer
that it calls; no feature wraps the application again. Everything on this page runs per request: what could be computed before
is in the `Plan`.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from belvedere.asgi.client import client_address
from belvedere.asgi.endings import has_left, only_one
from belvedere.asgi.exchange import Exchange, HttpExchange, WebSocketExchange
from belvedere.asgi.identity import as_uuid, callers_id, parse_traceparent
from belvedere.asgi.native_telemetry import adopted_span
from belvedere.asgi.plan import ASGIApp, Plan, Receive, Scope, Send, below_root
from belvedere.context import SCOPE_KEY, current, give_back
from belvedere.conventions import CLIENT_CLOSED_REQUEST

E = TypeVar("E", bound=Exchange)


class RequestPass:
    """Pure ASGI, outermost. The application it wraps is in `app`, where FastAPI and others look for it."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self.app = app
        self.plan = plan

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Not a coroutine itself: one frame less to enter for each request.
        kind = scope["type"]
        plan = self.plan
        if not plan.active or SCOPE_KEY in scope:
            return self.app(scope, receive, send)
        if kind == "http":
            return self._http(scope, receive, send)
        if kind == "websocket":
            return self._websocket(scope, receive, send)
        if kind == "lifespan" and plan.lifespan is not None:
            return plan.lifespan(self.app, scope, receive, send)
        return self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self.plan
        app = self.app
        request = _open(HttpExchange, plan, scope, receive, send)
        length = request.headers.get(b"content-length")
        if length is not None:
            request.length = length
            request.request_bytes = int(length) if length.isdigit() else 0
        path = below_root(scope) if scope.get("root_path") else request.path
        if path in plan.served and request.method in {"GET", "HEAD"}:
            app = plan.served[path]
            request.endpoint = path
        if path in plan.excluded or (plan.excluded_prefixes and path.startswith(plan.excluded_prefixes)):
            request.excluded = True
        token = current.set(request)
        if plan.beginners:
            plan.begin(request)
        try:
            await app(scope, request.receive, request.send)
            if not request.started_answer and not request.disconnected:
                await request.answer_failure()
        except BaseException as error:
            if isinstance(error, Exception):
                if request.exception is None and not request.ended and not has_left(request, error):
                    request.exception = only_one(error)
                if plan.failed is not None:
                    plan.failed(request, error)
                if not request.started_answer and not request.disconnected:
                    await request.answer_failure()
            elif not request.started_answer:
                # Cancelled: whoever asked gets no answer.
                request.disconnected = True
            raise
        finally:
            if not request.ended:
                if request.disconnected and not request.started_answer:
                    request.status = CLIENT_CLOSED_REQUEST
                request.finish()
            request.let_go()
            give_back(current, token)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self.plan
        request = _open(WebSocketExchange, plan, scope, receive, send)
        request.websocket = True
        request.method = "WEBSOCKET"
        token = current.set(request)
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as error:
            if isinstance(error, Exception):
                if not has_left(request, error):
                    request.exception = only_one(error)
                if plan.failed is not None:
                    plan.failed(request, error)
            raise
        finally:
            if not request.started_answer:
                request.status = 500 if request.exception else CLIENT_CLOSED_REQUEST
            plan.finish(request)
            request.let_go()
            give_back(current, token)


def _open(kind: type[E], plan: Plan, scope: Scope, receive: Receive, send: Send) -> E:
    """Return a new request: who asks, under which ids."""
    raw = scope["headers"]
    headers = dict(raw)
    request_id = callers_id(headers, raw, plan.header) if plan.trust and plan.header in headers else None
    if request_id is None:
        trace_id = plan.new_id()
        request_id = trace_id if plan.hex else as_uuid(trace_id)
    else:
        trace_id = request_id
    if plan.trusted_proxies:
        client = client_address(scope, headers, plan.trusted_proxies)
    else:
        peer = scope.get("client")
        client = peer[0] if peer else None
    request = kind(plan, scope, headers, request_id, trace_id, client, receive, send)
    if b"traceparent" in headers and (parent := parse_traceparent(headers, raw)) is not None:
        request.trace_id, _, request.sampled = parent
    if "fastapi.telemetry" in scope and (span := adopted_span(scope)) is not None:
        request.trace_id, request.span_id, request.sampled = span
    state = scope.get("state")
    if state is None:
        scope["state"] = state = {}
    state["request_id"] = request_id
    state["trace_id"] = request.trace_id
    scope[SCOPE_KEY] = request
    if plan.binder is not None:
        plan.binder(request)
    return request
