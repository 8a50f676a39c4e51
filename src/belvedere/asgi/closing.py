"""A request that tells, before its answer is complete, whoever must have noted it by then.

Observers hear of a request when its last byte has been handed to the server. Whoever promises that nothing which was
answered is forgotten comes earlier: a process that is killed right after the answer has kept that promise already.
Only applications with such a part have exchanges of this kind.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from belvedere import failures
from belvedere.asgi.exchange import HttpExchange
from belvedere.asgi.plan import Message, Plan, Receive, Scope, Send
from belvedere.conventions import CLIENT_CLOSED_REQUEST

_BODILESS: Final = frozenset({204, 304})
"""Answers that end with their headers (RFC 9110, section 6.4.1)."""
_EMPTY: Final = (b"content-length", b"0")
_UNKNOWN: Final = -1


class ClosingExchange(HttpExchange):
    """An HTTP exchange that calls the closers of its plan, once: before the byte that completes the answer.

    That byte is in the headers of an answer without a body, at the end of `Content-Length` where more messages follow
    (a `BaseHTTPMiddleware` sends an empty one), else in the last message. Where none is sent: when the request is over.
    """

    __slots__ = ("closed", "head", "left", "notes")

    def __init__(self, plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        # Named, here and below: `super()` costs each request four look-ups.
        HttpExchange.__init__(self, plan, scope, receive, send)
        self.closed = False
        self.head: Message | None = None
        self.left: int | None = None
        self.notes: dict[Any, Any] | None = None

    def send(self, message: Message) -> Awaitable[None]:  # type: ignore[override]  # what it returns is awaited once
        """Pass a message on to the client, having told the closers if it completes the answer."""
        if not self.closed:
            kind = message["type"]
            if kind == "http.response.body":
                if self._completes(message):
                    self.close()
            elif kind == "http.response.start":
                message = self._begins(message)
            elif kind == "http.response.pathsend" or not (
                message.get("more_trailers") if kind == "http.response.trailers" else message.get("more_body", True)
            ):
                self.close()
        return HttpExchange.send(self, message)

    def finish(self) -> None:
        """Tell the observers that it is over, having told the closers if no message completed the answer."""
        if not self.closed:
            self.close()
        HttpExchange.finish(self)

    def close(self) -> None:
        """Tell the closers."""
        self.closed = True
        self.head = None
        for closer in self.plan.closers:
            try:
                closer.closing(self)
            except Exception as error:
                failures.contain(closer.feature, error)

    def _begins(self, message: Message) -> Message:
        headers = message.get("headers") or ()
        if type(headers) is not list:
            # ASGI allows any iterable, which may be read only once.
            message = {**message, "headers": (headers := list(headers))}
        if message["status"] in _BODILESS or self.method == "HEAD" or _EMPTY in headers:
            # As `HttpExchange.send` is about to find out.
            gone = getattr(getattr(self.channel_out, "__self__", None), "disconnected", False) is True
            self.status = CLIENT_CLOSED_REQUEST if gone or self.disconnected else message["status"]
            self.close()
        else:
            self.head = message
        return message

    def _completes(self, message: Message) -> bool:
        """Whether a piece of the body is the last that the client waits for."""
        if not message.get("more_body", False):
            return not self.trailers
        if self.trailers:
            return False
        if self.left is None:
            self.left = _length(self.head)
        if self.left == _UNKNOWN:
            return False
        self.left = max(0, self.left - len(message.get("body", b"")))
        return self.left == 0


def _length(head: Message | None) -> int:
    """Return the `Content-Length` of an answer; `_UNKNOWN` where it has none, or not one."""
    found = [value for name, value in (head or {}).get("headers", ()) if name.lower() == b"content-length"]
    return int(found[0]) if len(found) == 1 and found[0].isdigit() and len(found[0]) < 19 else _UNKNOWN
