"""The one ASGI pass: each request crosses Belvedere here, once.

It sits outside every middleware of the application and owns the id, the context, the wrapped `send` and the outcome. A
feature is an observer that it calls; no feature wraps the application again. Everything on this page runs per request: what
could be computed before is in the `Plan`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from belvedere import failures
from belvedere.asgi.client import Network, client_address, is_secure
from belvedere.asgi.identity import as_uuid, callers_id, new_id, parse_traceparent
from belvedere.asgi.native_telemetry import adopted_span
from belvedere.context import SCOPE_KEY, RequestContext, current, give_back
from belvedere.conventions import CLIENT_CLOSED_REQUEST
from belvedere.parts import Observer

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]


class Plan:
    """What the pass of one application needs to know, computed once and shared by all its requests.

    `served` maps a path to what answers there in place of the application; `answer_failure` sends the 500 where the
    application left none; `failed` is told of each exception that is raised on, once.
    """

    def __init__(self, header: str = "X-Request-ID", clock: Callable[[], float] = time.perf_counter) -> None:
        self.active = True
        self.clock = clock
        self.new_id: Callable[[], str] = new_id
        self.header = header.lower().encode("ascii")
        self.hex = False
        self.trust = True
        self.trusted_proxies: Sequence[Network] = ()
        self.service: Mapping[str, str] = {}
        self.observers: tuple[Observer, ...] = ()
        self.beginners: tuple[Observer, ...] = ()
        self.served: dict[str, ASGIApp] = {}
        self.excluded: frozenset[str] = frozenset()
        self.excluded_prefixes: tuple[str, ...] = ()
        self.binder: Callable[[RequestContext], None] | None = None
        self.on_route: Callable[[RequestContext, Scope], None] | None = None
        self.on_mount: Callable[[Any], None] | None = None
        self.on_build: Callable[[], None] | None = None
        self.answer_failure: Callable[[RequestContext, Send], Awaitable[None]] | None = None
        self.failed: Callable[[RequestContext, Exception], None] | None = None
        self.lifespan: Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]] | None = None
        self.headers: HeaderList = []
        self.secure_headers: HeaderList = []
        self.set_headers([], [])

    def observe(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)
        self.beginners = tuple(observer for observer in observers if not _idle(observer.begin))

    def set_headers(self, plain: HeaderList, secure: HeaderList) -> None:
        """Have every response carry `plain`, and over TLS `secure` instead; the application's own win."""
        self.headers = plain
        self.secure_headers = secure
        own = {name for name, _ in [*plain, *secure, (self.header, b"")]}
        # ASGI says lower case; a hand-written application may not.
        self.own_names = frozenset(own | {name.title() for name in own} | {name.upper() for name in own})

    def open(self, scope: Scope) -> RequestContext:
        """Return the context of a new request: who asks, under which ids."""
        raw = scope["headers"]
        headers = dict(raw)
        request = RequestContext(self, scope, headers, self.clock())
        request_id = callers_id(headers, raw, self.header) if self.trust and self.header in headers else None
        if request_id is None:
            trace_id = self.new_id()
            request_id = trace_id if self.hex else as_uuid(trace_id)
        else:
            trace_id = request_id
        if b"traceparent" in headers and (parent := parse_traceparent(headers, raw)) is not None:
            trace_id, _, request.sampled = parent
        if "fastapi.telemetry" in scope and (span := adopted_span(scope)) is not None:
            trace_id, request.span_id, request.sampled = span
        request.request_id = request_id
        request.trace_id = trace_id
        if self.trusted_proxies:
            request.client = client_address(scope, headers, self.trusted_proxies)
        elif peer := scope.get("client"):
            request.client = peer[0]
        state = scope.get("state")
        if state is None:
            scope["state"] = state = {}
        state["request_id"] = request_id
        state["trace_id"] = trace_id
        scope[SCOPE_KEY] = request
        if self.binder is not None:
            self.binder(request)
        return request

    def begin(self, request: RequestContext) -> None:
        for observer in self.beginners:
            try:
                observer.begin(request)
            except Exception as error:  # noqa: BLE001 - our failure is not the request's
                failures.contain(observer.feature, error)

    def finish(self, request: RequestContext) -> None:
        request.duration = self.clock() - request.started
        for observer in self.observers:
            try:
                observer.finish(request)
            except Exception as error:  # noqa: BLE001 - our failure is not the request's
                failures.contain(observer.feature, error)


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
        request = plan.open(scope)
        path = request.path
        if scope.get("root_path"):
            path = below_root(scope)
        if path in plan.served and request.method in {"GET", "HEAD"}:
            app = plan.served[path]
            request.endpoint = path
        if path in plan.excluded or (plan.excluded_prefixes and path.startswith(plan.excluded_prefixes)):
            request.excluded = True
        length = request.headers.get(b"content-length")
        if length is not None and length.isdigit():
            request.request_bytes = int(length)
        started = finished = trailers = False

        async def receive_() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                request.disconnected = not finished
            elif length is None:
                request.request_bytes += len(message.get("body", b""))
            return message

        async def send_(message: Message) -> None:
            nonlocal started, finished, trailers
            kind = message["type"]
            last = False
            if kind == "http.response.body":
                request.response_bytes += len(message.get("body", b""))
                last = not message.get("more_body", False) and not trailers
            elif kind == "http.response.start":
                started = True
                trailers = message.get("trailers", False)
                # uvicorn knows that the client has left, and drops what is then sent without saying so.
                gone = request.disconnected or getattr(getattr(send, "__self__", None), "disconnected", False) is True
                request.status = CLIENT_CLOSED_REQUEST if gone else message["status"]
                message = {**message, "headers": self._headers(request, message.get("headers") or ())}
            elif kind == "http.response.trailers":
                last = not message.get("more_trailers", False)
            else:
                last = kind == "http.response.pathsend"
            try:
                await send(message)
            except OSError:
                # ASGI 2.4: the server says so when nobody listens any more.
                request.disconnected = not finished
                if kind == "http.response.start":
                    request.status = CLIENT_CLOSED_REQUEST
                raise
            if last and not finished:
                finished = True
                plan.finish(request)

        token = current.set(request)
        if plan.beginners:
            plan.begin(request)
        try:
            await app(scope, receive_, send_)
            if not started and not request.disconnected:
                await self._answer(request, send_)
        except BaseException as error:
            if request.exception is None and not finished:
                request.exception = error
            if isinstance(error, Exception):
                if plan.failed is not None and not (request.disconnected and isinstance(error, OSError)):
                    plan.failed(request, error)
                if not started and not request.disconnected:
                    await self._answer(request, send_)
            elif not started:
                # Cancelled: whoever asked gets no answer.
                request.disconnected = True
            raise
        finally:
            if not finished:
                finished = True
                if request.disconnected and not started:
                    request.status = CLIENT_CLOSED_REQUEST
                plan.finish(request)
            request.let_go()
            give_back(current, token)

    async def _answer(self, request: RequestContext, send: Send) -> None:
        """Answer in place of an application that did not."""
        request.status = 500
        if self.plan.answer_failure is not None:
            try:
                await self.plan.answer_failure(request, send)
            except Exception as error:  # noqa: BLE001 - the application's own exception is the one to raise on
                failures.contain("problems", error)

    def _headers(self, request: RequestContext, theirs: Sequence[tuple[bytes, bytes]]) -> HeaderList:
        plan = self.plan
        ours = plan.headers
        if plan.secure_headers is not ours and is_secure(request.scope, request.headers, plan.trusted_proxies):
            ours = plan.secure_headers
        for name, _ in theirs:
            if name in plan.own_names:
                names = {name.lower() for name, _ in theirs}
                theirs = [pair for pair in theirs if pair[0].lower() != plan.header]
                ours = [pair for pair in ours if pair[0] not in names]
                break
        return [*theirs, (plan.header, request.request_id.encode("ascii")), *ours]

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        plan = self.plan
        request = plan.open(scope)
        request.websocket = True
        request.method = "WEBSOCKET"
        accepted = refused = False

        async def receive_() -> Message:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                request.disconnected = True
            return message

        async def send_(message: Message) -> None:
            nonlocal accepted, refused
            kind = message["type"]
            if kind == "websocket.accept":
                accepted = True
                request.status = 101
                message = {**message, "headers": self._headers(request, message.get("headers") or ())}
            elif kind == "websocket.http.response.start":
                refused = True
                request.status = message["status"]
                message = {**message, "headers": self._headers(request, message.get("headers") or ())}
            elif kind == "websocket.close" and not accepted and not refused:
                # Closed before it was accepted: the server answers 403 (ASGI, WebSocket connection scope).
                refused = True
                request.status = 403
            await send(message)
            if kind == "websocket.accept":
                plan.begin(request)

        token = current.set(request)
        try:
            await self.app(scope, receive_, send_)
        except BaseException as error:
            if isinstance(error, Exception) and not request.disconnected:
                request.exception = error
                if plan.failed is not None:
                    plan.failed(request, error)
            raise
        finally:
            if not accepted and not refused:
                request.status = 500 if request.exception else CLIENT_CLOSED_REQUEST
            plan.finish(request)
            request.let_go()
            give_back(current, token)


def below_root(scope: Scope) -> str:
    """Return the path below `root_path`: servers that strip it and servers that keep it look alike."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :] or "/"
    return path


def _idle(begin: Callable[..., Any]) -> bool:
    return bool(getattr(begin, "idle", False))


def idle(begin: Callable[..., None]) -> Callable[..., None]:
    """Mark a `begin` that does nothing, so that the pass need not call it."""
    begin.idle = True  # type: ignore[attr-defined]
    return begin
