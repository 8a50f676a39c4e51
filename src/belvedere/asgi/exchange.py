"""A request with the channel it came by: what ASGI says to the application and back, followed message by message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from belvedere import failures
from belvedere.asgi.client import client_address, is_secure
from belvedere.asgi.closing import completes
from belvedere.asgi.endings import mark_left
from belvedere.asgi.identity import callers_id, make_ids, parse_traceparent, spare_ids
from belvedere.asgi.native_telemetry import native_span, span_ids
from belvedere.asgi.plan import HeaderList, Message, Plan, Receive, Scope, Send
from belvedere.context import SCOPE_KEY, RequestContext
from belvedere.conventions import CLIENT_CLOSED_REQUEST, UNMATCHED, SpanAttribute

_PLAIN: Final = frozenset({"http", "ws", None})
"""Schemes without TLS."""


_OVER: dict[str, Any] = {}


async def _gone() -> Message:
    """Tell whoever still listens what a server tells them."""
    return {"type": "http.disconnect"}


async def _over(message: Message) -> None:
    raise RuntimeError(f"{message['type']} was sent after the application had returned: the request is over")


class Exchange(RequestContext):
    """A `RequestContext` that stands between application and server.

    It is one object with the context, and its methods are what the application is given: closures over as many
    variables cost more.
    """

    __slots__ = (
        "adopted",
        "answered",
        "awaited",
        "channel_in",
        "channel_out",
        "ended",
        "length",
        "trailers",
        "unclosed",
    )

    plan: Plan
    awaited: Message | int
    """What `completes` knows of the answer that has begun."""

    def __init__(self, plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = plan.clock()
        raw = scope["headers"]
        headers = dict(raw)
        self.plan = plan
        self.scope = scope
        self.headers = headers
        self.channel_in = receive
        self.channel_out = send
        self.method = scope.get("method", "WEBSOCKET")
        self.path = scope["path"]
        self.endpoint = UNMATCHED
        self.adopted: Any = None
        self.span = self.span_id = self.parent_id = self.answer_headers = None
        self.bound = self.route = self.route_scope = self.exception = self.notes = None
        self.unclosed = plan.closers
        self.length: bytes | None = None
        self.answered = self.ended = self.trailers = self.excluded = self.disconnected = self.websocket = False
        self.status = self.request_bytes = self.response_bytes = 0
        self.sampled = True
        self.duration = 0.0
        request_id = callers_id(headers, raw, plan.header) if plan.trust and plan.header in headers else None
        if request_id is None:
            try:
                digits, request_id = spare_ids.pop()
            except IndexError:
                digits, request_id = make_ids()
            self.trace_id = digits
            if plan.hex:
                request_id = digits
        else:
            self.trace_id = request_id
        self.request_id = request_id
        if b"traceparent" in headers and (parent := parse_traceparent(headers, raw)) is not None:
            self.trace_id, self.parent_id, self.sampled = parent
        if "fastapi.telemetry" in scope and (span := native_span(scope)) is not None:
            self.adopt(span)
        if plan.trusted_proxies:
            self.client = client_address(scope, headers, plan.trusted_proxies)
        else:
            peer = scope.get("client")
            self.client = peer[0] if peer else None
        state = scope.get("state")
        if state is None:
            scope["state"] = state = {}
        state["request_id"] = request_id
        state["trace_id"] = self.trace_id
        scope[SCOPE_KEY] = self
        if plan.binder is not None:
            plan.binder(self)

    def adopt(self, span: Any) -> None:
        """Take the ids of a server span that somebody else has made, and tell it ours."""
        ids = span_ids(span)
        if ids is not None:
            self.span = self.adopted = span
            self.trace_id, self.span_id, self.sampled = ids
            span.set_attribute(SpanAttribute.REQUEST_ID, self.request_id)

    def begin(self) -> None:
        """Tell the observers that it begins."""
        for observer in self.plan.beginners:
            try:
                observer.begin(self)
            except Exception as error:
                failures.contain(observer.feature, error)

    def finish(self) -> None:
        """Tell the observers that the last byte has been sent, or that none will be."""
        self.ended = True
        plan = self.plan
        self.duration = plan.clock() - self.started
        if self.method == "HEAD":
            self.response_bytes = 0
        for observer in plan.observers:
            try:
                observer.finish(self)
            except Exception as error:
                failures.contain(observer.feature, error)

    def let_go(self) -> None:
        """Forget what is of no use once the request is over.

        The scope refers back to this object, the server's channel to the scope, and a traceback to all of them: cycles,
        which only the garbage collector would free.
        """
        self.scope = self.route_scope = _OVER
        self.channel_in = _gone
        self.channel_out = _over
        self.route = self.exception = self.span = self.adopted = None

    def with_headers(self, message: Message) -> Message:
        """Return the message that begins an answer with the id and our headers."""
        plan = self.plan
        if self.adopted is not None:
            self._tell_user()
        theirs = message.get("headers") or ()
        if type(theirs) is not list:
            # ASGI allows any iterable, which may be read only once.
            theirs = list(theirs)
        ours = plan.headers
        if self.scope.get("scheme") not in _PLAIN or plan.trusted_proxies:
            ours = self._headers_by_scheme()
        if not plan.own_names.isdisjoint(dict(theirs)):
            theirs, ours = self._without_twins(theirs, ours)
        if self.answer_headers is not None:
            theirs = self._with_answers_own(theirs, self.answer_headers)
        # A copy, as an application may send the same message again and again.
        return {**message, "headers": [*theirs, (plan.header, self.request_id.encode("ascii")), *ours]}

    def _with_answers_own(self, theirs: HeaderList, more: HeaderList) -> HeaderList:
        """Add what is for this answer alone, less what the application has set itself."""
        names = set(map(bytes.lower, dict(theirs)))
        if names.isdisjoint(dict(more)):
            return [*theirs, *more]
        return [*theirs, *(pair for pair in more if pair[0] not in names)]

    def _tell_user(self) -> None:
        """Tell an adopted span whose request it is: who made it may end it with the last byte, before our observers."""
        user = self.bound.get("user_id") if self.bound else None
        if isinstance(user, str | int):
            hide = self.plan.hide
            self.adopted.set_attribute(SpanAttribute.USER_ID, hide("user_id", str(user)))

    def _headers_by_scheme(self) -> HeaderList:
        plan = self.plan
        secure = is_secure(self.scope, self.headers, plan.trusted_proxies)
        return plan.secure_headers if secure else plan.headers

    def _without_twins(self, theirs: Iterable[tuple[bytes, bytes]], ours: HeaderList) -> tuple[HeaderList, HeaderList]:
        """Leave out of ours what the application has set, and of its own the id, which is one everywhere."""
        kept = [pair for pair in theirs if pair[0].lower() != self.plan.header]
        names = {name.lower() for name, _ in kept}
        return kept, [pair for pair in ours if pair[0] not in names]


class HttpExchange(Exchange):
    """One HTTP request and its answer."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass a message on to the application, and note what it says of the client."""
        message = await self.channel_in()
        if message["type"] == "http.disconnect":
            self.disconnected = not self.ended
        elif self.length is None:
            self.request_bytes += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on to the client, with our headers, and finish the request at its last byte."""
        kind = message["type"]
        last = False
        if kind == "http.response.body":
            self.response_bytes += len(message.get("body", b""))
            last = not message.get("more_body", False) and not self.trailers
        elif kind == "http.response.start":
            self.answered = True
            self.trailers = message.get("trailers", False)
            # uvicorn knows that the client has left, and drops what is then sent without saying so.
            gone = getattr(getattr(self.channel_out, "__self__", None), "disconnected", False) is True
            self.status = CLIENT_CLOSED_REQUEST if gone or self.disconnected else message["status"]
            message = self.with_headers(message)
        elif kind == "http.response.trailers":
            last = not message.get("more_trailers", False)
        else:
            last = kind == "http.response.pathsend"
        if self.unclosed and (last or completes(self, message)):
            self.close()
        try:
            await self.channel_out(message)
        except OSError as error:
            # ASGI 2.4: the server says so when nobody listens any more.
            mark_left(error)
            self.disconnected = not self.ended
            if kind == "http.response.start":
                self.status = CLIENT_CLOSED_REQUEST
            raise
        if last and not self.ended:
            self.finish()

    def close(self) -> None:
        """Tell the closers that the answer is about to be complete."""
        closers, self.unclosed = self.unclosed, ()
        for closer in closers:
            try:
                closer.closing(self)
            except Exception as error:
                failures.contain(closer.feature, error)

    async def answer_failure(self) -> None:
        """Answer in place of an application that did not."""
        self.status = 500
        if self.plan.answer_failure is not None:
            try:
                await self.plan.answer_failure(self, self.send)
            except Exception as error:
                failures.contain("problems", error)


class WebSocketExchange(Exchange):
    """One WebSocket connection: accepted, refused or failed."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass a message on to the application, and note that the client left."""
        message = await self.channel_in()
        if message["type"] == "websocket.disconnect":
            self.disconnected = True
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on to the client, with our headers where the handshake is answered."""
        kind = message["type"]
        if kind in {"websocket.accept", "websocket.http.response.start"}:
            self.answered = True
            self.status = message.get("status", 101)
            message = self.with_headers(message)
        elif kind == "websocket.close" and not self.answered:
            # Closed before it was accepted: the server answers 403 (ASGI, WebSocket connection scope).
            self.answered = True
            self.status = 403
        try:
            await self.channel_out(message)
        except BaseException as error:
            if kind == "websocket.accept":
                # Nobody was let in, and the observers were told of nobody.
                self.answered = False
            if isinstance(error, OSError):
                mark_left(error)
                self.disconnected = True
            raise
        if kind == "websocket.accept":
            self.begin()
