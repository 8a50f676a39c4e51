"""A request with the channel it came by: what ASGI says to the application and back, followed message by message."""

from __future__ import annotations

from collections.abc import Sequence

from belvedere import failures
from belvedere.asgi.client import is_secure
from belvedere.asgi.plan import HeaderList, Message, Plan, Receive, Scope, Send
from belvedere.context import RequestContext
from belvedere.conventions import CLIENT_CLOSED_REQUEST


class Exchange(RequestContext):
    """A `RequestContext` that stands between application and server.

    It is one object with the context, and its methods are what the application is given, because closures over as many
    variables cost a microsecond more.
    """

    plan: Plan
    started_answer = False
    ended = False

    def __init__(
        self,
        plan: Plan,
        scope: Scope,
        headers: dict[bytes, bytes],
        request_id: str,
        trace_id: str,
        client: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        # Not by super().__init__(…): one call less for each request.
        self.plan = plan
        self.scope = scope
        self.headers = headers
        self.started = plan.clock()
        self.request_id = request_id
        self.trace_id = trace_id
        self.client = client
        self.method = scope.get("method", "")
        self.path = scope["path"]
        self.channel_in = receive
        self.channel_out = send

    def answer_headers(self, theirs: Sequence[tuple[bytes, bytes]]) -> HeaderList:
        """Return the application's headers with the id and ours; its own win, but for the id, which is one everywhere."""
        plan = self.plan
        scope = self.scope
        ours = plan.headers
        if scope.get("scheme") in {"https", "wss"} or (
            plan.trusted_proxies and is_secure(scope, self.headers, plan.trusted_proxies)
        ):
            ours = plan.secure_headers
        for name, _ in theirs:
            if name in plan.own_names:
                names = {name.lower() for name, _ in theirs}
                theirs = [pair for pair in theirs if pair[0].lower() != plan.header]
                ours = [pair for pair in ours if pair[0] not in names]
                break
        return [*theirs, (plan.header, self.request_id.encode("ascii")), *ours]


class HttpExchange(Exchange):
    """One HTTP request and its answer."""

    length: bytes | None = None
    trailers = False

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
            self.started_answer = True
            self.trailers = message.get("trailers", False)
            # uvicorn knows that the client has left, and drops what is then sent without saying so.
            gone = self.disconnected or getattr(getattr(self.channel_out, "__self__", None), "disconnected", False) is True
            self.status = CLIENT_CLOSED_REQUEST if gone else message["status"]
            message = {**message, "headers": self.answer_headers(message.get("headers") or ())}
        elif kind == "http.response.trailers":
            last = not message.get("more_trailers", False)
        else:
            last = kind == "http.response.pathsend"
        try:
            await self.channel_out(message)
        except OSError:
            # ASGI 2.4: the server says so when nobody listens any more.
            self.disconnected = not self.ended
            if kind == "http.response.start":
                self.status = CLIENT_CLOSED_REQUEST
            raise
        if last and not self.ended:
            self.finish()

    def finish(self) -> None:
        """Note that the last byte has been sent, or that none will be."""
        self.ended = True
        if self.method == "HEAD":
            self.response_bytes = 0
        self.plan.finish(self)

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
            self.started_answer = True
            self.status = message.get("status", 101)
            message = {**message, "headers": self.answer_headers(message.get("headers") or ())}
        elif kind == "websocket.close" and not self.started_answer:
            # Closed before it was accepted: the server answers 403 (ASGI, WebSocket connection scope).
            self.started_answer = True
            self.status = 403
        try:
            await self.channel_out(message)
        except OSError:
            self.disconnected = True
            raise
        if kind == "websocket.accept":
            self.plan.begin(self)
