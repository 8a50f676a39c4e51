"""Exchanges of requests that have a server span: it stays current until everything of the request has run."""

from __future__ import annotations

from contextvars import Token
from typing import Any

from opentelemetry import context

from belvedere import failures
from belvedere.asgi.exchange import HttpExchange, WebSocketExchange
from belvedere.asgi.plan import Plan, Receive, Scope, Send
from belvedere.tracing.observer import Spans


class TracedHttpExchange(HttpExchange):
    """A request whose span `Spans.begin` has made current."""

    __slots__ = ("attached",)

    def let_go(self) -> None:
        """Make current again what was before: `_detach`, written out, as a call costs each traced request."""
        token: Token[Any] | None = getattr(self, "attached", None)
        if token is not None:
            self.attached = None
            try:
                context._RUNTIME_CONTEXT.detach(token)
            except ValueError:
                pass  # it ends elsewhere than it began
        HttpExchange.let_go(self)


class TracedWebSocketExchange(WebSocketExchange):
    """A connection whose span begins with its handshake: observers are told only when it is accepted."""

    __slots__ = ("attached",)

    def __init__(self, plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        WebSocketExchange.__init__(self, plan, scope, receive, send)
        self.websocket = True
        self.excluded = plan.leaves_out(scope)
        for observer in plan.observers:
            if isinstance(observer, Spans):
                try:
                    observer.open(self)
                except Exception as error:
                    failures.contain(observer.feature, error)

    def let_go(self) -> None:
        """Make current again what was before."""
        _detach(self)
        WebSocketExchange.let_go(self)


def _detach(request: Any) -> None:
    token: Token[Any] | None = getattr(request, "attached", None)
    if token is not None:
        request.attached = None
        try:
            context._RUNTIME_CONTEXT.detach(token)
        except ValueError:
            return  # it ends elsewhere than it began
